/**
 * Main data of resource manager RelMap: a new relation map, whose own format is in `postgres/relation-map.ts`.
 *
 *   UPDATE  u32 database, u32 tablespace, i32 n, n bytes: 512 up to version 15, 524 from 16 on
 *
 * Source: Postgres src/include/utils/relmapper.h.
 */
import { corrupt } from '../../errors.ts';
import type { DatabaseId } from '../../postgres/key-mapping.ts';
import { relationMapSize } from '../../postgres/relation-map.ts';
import { checkMajorVersion, decoderOf } from './main-data.ts';

/** UPDATE. */
export interface RelationMapUpdate extends DatabaseId {
  /** The file; a view. */
  readonly map: Uint8Array;
}

/** Decodes the main data of UPDATE. @throws `corrupt`, `invalid-input`. */
export function decodeRelationMapUpdate(
  mainData: Uint8Array,
  majorVersion: number,
): RelationMapUpdate {
  checkMajorVersion(majorVersion);
  const decoder = decoderOf(mainData);
  const dbnode = decoder.u32('database');
  const spcnode = decoder.u32('tablespace');
  const length = decoder.u32('length of the relation map');
  const expected = relationMapSize(majorVersion);
  if (length !== expected) {
    const at = decoder.offset - 4;
    throw corrupt('length of the relation map', at, `${expected}`, `${length | 0}`);
  }
  const map = decoder.array('relation map', length);
  decoder.expectEnd();
  return { dbnode, spcnode, map };
}
