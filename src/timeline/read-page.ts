/** Reads a page as a pageserver returns it: zeros beyond the end of the relation, otherwise the reconstructed page. */
import { isStorageError } from '../errors.ts';
import type { Key } from '../layers/key.ts';
import type { Lsn } from '../layers/lsn.ts';
import { IMAGE_HEADER_SIZE } from '../layers/value-format.ts';
import { decodeRelationDirectory } from '../postgres/directory-values.ts';
import {
  describeKey,
  type RelationForkId,
  relationDirectoryKey,
  relationSizeKey,
} from '../postgres/key-mapping.ts';
import { CLOG_TIMESTAMP_SIZE } from '../postgres/neon-records.ts';
import { PAGE_SIZE } from '../postgres/page.ts';
import { decodeRelationSize } from '../postgres/relation-size.ts';
import {
  type MaterializeOptions,
  materialize,
  type NeededRedo,
  surelyNeedsRedo,
} from './materialize.ts';
import { isSparseKey, type Reconstruction } from './reconstruct.ts';

/** The result of reading a page. */
export type PageResult =
  | {
      /** The value: a page of 8,192 bytes, or the content of any other key. */
      readonly kind: 'page';
      /** New bytes. */
      readonly bytes: Uint8Array;
      /** LSN of the newest entry that it was built from; undefined for zeros beyond the end of a relation. */
      readonly lsn: Lsn | undefined;
      /** Microseconds since 2000 that a page of the transaction status carries, if it does. */
      readonly commitTime: bigint | undefined;
      /** What it was built from; undefined for zeros beyond the end of a relation. */
      readonly reconstruction: Reconstruction | undefined;
    }
  | {
      /** Only Postgres's redo can build the page. */
      readonly kind: 'needs-redo';
      /** The first record that needs it. */
      readonly needed: NeededRedo;
      /** The base image and all records. */
      readonly reconstruction: Reconstruction;
    }
  | {
      /** There is no value. */
      readonly kind: 'missing';
      /** The layers that were read. */
      readonly reconstruction: Reconstruction;
    }
  | {
      /** There are records, but nothing to apply them to. */
      readonly kind: 'no-base';
      /** The layers that were read, and the records. */
      readonly reconstruction: Reconstruction;
    };

export interface PageRequest extends MaterializeOptions {
  readonly key: Key;
}

/** Reads keys at the LSN of the page. */
export type ReadKeys = (keys: readonly Key[]) => Promise<Reconstruction[]>;

export async function readPageOf(read: ReadKeys, request: PageRequest): Promise<PageResult> {
  const meaning = describeKey(request.key);
  if (meaning.kind === 'rel_block') {
    const blockCount = await forkSize(read, meaning);
    if (blockCount !== undefined && meaning.blkno >= blockCount) return zeros();
  }
  const [reconstruction] = await read([request.key]);
  return resultOf(reconstruction as Reconstruction, request);
}

/** Builds the page of a reconstruction. */
export async function resultOf(
  reconstruction: Reconstruction,
  options: MaterializeOptions,
): Promise<PageResult> {
  const { key, base, records, outcome } = reconstruction;
  if (outcome !== 'complete') return { kind: outcome, reconstruction };
  const made = await materialize(reconstruction, options);
  if (made.kind === 'needs-redo') return { ...made, reconstruction };
  // A tombstone.
  if (made.bytes.length === 0 && isSparseKey(key)) return { kind: 'missing', reconstruction };
  const lsn = (records.at(-1) ?? base)?.lsn;
  return { kind: 'page', lsn, reconstruction, ...splitTime(key, made.bytes) };
}

/**
 * The kind of the result of a reconstruction, even if one of its records is damaged: that does not change what the read
 * consists of, and only redo would notice.
 */
export async function explainResult(
  found: Reconstruction,
  pgVersion: number | undefined,
): Promise<PageResult['kind']> {
  try {
    if (found.outcome === 'complete' && surelyNeedsRedo(found, pgVersion)) return 'needs-redo';
    return (await resultOf(found, { pgVersion })).kind;
  } catch (error) {
    if (isStorageError(error, 'corrupt', 'truncated', 'too-large')) return 'needs-redo';
    throw error;
  }
}

/**
 * The size of a fork in blocks, as a pageserver reports it: 0 for a free space map or visibility map that its database
 * does not list. Undefined if it is unknown.
 */
async function forkSize(read: ReadKeys, relation: RelationForkId): Promise<number | undefined> {
  const { fork } = relation;
  const isMap = fork === 'fsm' || fork === 'vm';
  const keys = [relationSizeKey(relation), ...(isMap ? [relationDirectoryKey(relation)] : [])];
  const [size, directory] = await read(keys);
  const listed = imageValueOf(directory);
  if (listed !== undefined && !listsFork(listed, relation)) return 0;
  const bytes = imageValueOf(size);
  return bytes === undefined ? undefined : decodeRelationSize(bytes);
}

function listsFork(directory: Uint8Array, { relnode, fork }: RelationForkId): boolean {
  const relations = decodeRelationDirectory(directory);
  return relations.some((relation) => relation.relnode === relnode && relation.fork === fork);
}

/** The value of a key that is always an image; undefined without one. */
export function imageValueOf(reconstruction: Reconstruction | undefined): Uint8Array | undefined {
  if (reconstruction?.outcome !== 'complete' || reconstruction.records.length > 0) return undefined;
  return imageBytes(reconstruction);
}

/** The bytes of the base image; undefined without one. */
export function imageBytes({ base }: Reconstruction): Uint8Array | undefined {
  if (base === undefined) return undefined;
  return base.layerKind === 'image' ? base.bytes : base.bytes.subarray(IMAGE_HEADER_SIZE);
}

function zeros(): PageResult {
  const bytes = new Uint8Array(PAGE_SIZE);
  return { kind: 'page', bytes, lsn: undefined, commitTime: undefined, reconstruction: undefined };
}

/** Readers of a page of the transaction status use its first 8,192 bytes. */
function splitTime(
  key: Key,
  bytes: Uint8Array,
): { readonly bytes: Uint8Array; readonly commitTime: bigint | undefined } {
  const meaning = describeKey(key);
  const isClog = meaning.kind === 'slru_block' && meaning.slru === 'clog';
  if (!isClog || bytes.length !== PAGE_SIZE + CLOG_TIMESTAMP_SIZE) {
    return { bytes, commitTime: undefined };
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { bytes: bytes.slice(0, PAGE_SIZE), commitTime: view.getBigInt64(PAGE_SIZE) };
}
