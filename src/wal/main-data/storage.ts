/**
 * Main data of resource manager Storage: files of relations.
 *
 *   CREATE    u32 tablespace, u32 database, u32 relation, u32 fork
 *   TRUNCATE  u32 blocks that stay, u32 tablespace, u32 database, u32 relation,
 *             u32 which forks: 1 main, 2 visibility map, 4 free space map
 *
 * Source: Postgres src/include/catalog/storage_xlog.h.
 */
import type { BincodeDecoder } from '../../bincode.ts';
import { corrupt } from '../../errors.ts';
import { MAXIMUM_FORK_NUMBER } from '../../postgres/fork.ts';
import { decoderOf } from './main-data.ts';
import type { RelationFile } from './transaction.ts';

/** CREATE. */
export interface StorageCreation extends RelationFile {
  /** Number of the fork. */
  readonly forkNumber: number;
}

/** TRUNCATE. */
export interface StorageTruncation extends RelationFile {
  /** Blocks of the main fork that stay. */
  readonly blockCount: number;
  /** The forks that are truncated. */
  readonly flags: number;
}

/** Bits of `StorageTruncation.flags`. */
export const TRUNCATED_FORKS = { main: 1, vm: 2, fsm: 4 } as const;

/** Decodes the main data of CREATE. @throws `corrupt`, `invalid-input`. */
export function decodeStorageCreate(mainData: Uint8Array): StorageCreation {
  const decoder = decoderOf(mainData);
  const relation = relationOf(decoder);
  const forkNumber = decoder.u32('fork');
  if (forkNumber > MAXIMUM_FORK_NUMBER) {
    throw corrupt('fork', decoder.offset - 4, `0 to ${MAXIMUM_FORK_NUMBER}`, `${forkNumber}`);
  }
  decoder.expectEnd();
  return { ...relation, forkNumber };
}

/** Decodes the main data of TRUNCATE. @throws `corrupt`, `invalid-input`. */
export function decodeStorageTruncate(mainData: Uint8Array): StorageTruncation {
  const decoder = decoderOf(mainData);
  const blockCount = decoder.u32('number of blocks');
  const relation = relationOf(decoder);
  const flags = decoder.u32('flags');
  decoder.expectEnd();
  return { blockCount, ...relation, flags };
}

function relationOf(decoder: BincodeDecoder): RelationFile {
  return {
    spcnode: decoder.u32('tablespace'),
    dbnode: decoder.u32('database'),
    relnode: decoder.u32('relation'),
  };
}
