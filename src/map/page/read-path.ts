/**
 * The path of a read: which layers a pageserver looks into for a key at an LSN, one after the other.
 *
 * Names do not show what a delta layer contains, so a read may end in any of them, at a value that needs
 * nothing below it. It ends in an image layer at the latest.
 */
import { isStorageError } from '../../errors.ts';
import type { Key } from '../../layers/key.ts';
import { type Lsn, MAXIMUM_LSN, parseLsn } from '../../layers/lsn.ts';
import { parseKeyText } from '../../postgres/key-fields.ts';
import type { Model } from './model.ts';

/** A layer on the path, read from `end`, exclusive, down to `floor`. */
export interface Visit {
  readonly row: number;
  readonly floor: Lsn;
  readonly end: Lsn;
}

/** The path of a read. */
export interface ReadPath {
  readonly key: Key;
  /** The LSN of the read, inclusive. */
  readonly lsn: Lsn;
  readonly visits: readonly Visit[];
  /** `image`: the last visit is an image layer. `bottom`: no layer is below. `long`: too many visits. */
  readonly end: 'image' | 'bottom' | 'long';
}

/** Maximum number of visits that are shown. */
const MAXIMUM_VISITS = 1_000;

/**
 * Follows a read through the shown snapshot. Throws a StorageError for a key that a pageserver cannot hold.
 */
export function readPath(model: Model, key: Key, lsn: Lsn): ReadPath {
  const { map, rows } = model.layersWith(key);
  const visits: Visit[] = [];
  let end = lsn + 1n;
  while (visits.length < MAXIMUM_VISITS) {
    const found = map.search(key, end);
    if (found === undefined) return { key, lsn, visits, end: 'bottom' };
    const row = rows.get(found.name) ?? 0;
    visits.push({ row, floor: found.lsnFloor, end });
    if (model.level(row) === 'image') return { key, lsn, visits, end: 'image' };
    end = found.lsnFloor;
  }
  return { key, lsn, visits, end: 'long' };
}

/** The parsed input: a key and an LSN, or a message that says what is wrong with it. */
export type Query =
  | { readonly key: Key; readonly lsn: Lsn | undefined }
  | { readonly problem: string };

/** Parses `KEY@LSN`. Without an LSN the read is of the newest one. */
export function parseQuery(text: string): Query {
  const at = text.lastIndexOf('@');
  const keyPart = (at < 0 ? text : text.slice(0, at)).trim();
  const lsnPart = at < 0 ? '' : text.slice(at + 1).trim();
  try {
    const lsn = lsnPart === '' ? undefined : parseLsn(lsnPart);
    return { key: parseKeyText([keyPart]), lsn: lsn === MAXIMUM_LSN ? MAXIMUM_LSN - 1n : lsn };
  } catch (error) {
    if (!isStorageError(error)) throw error;
    return { problem: error.message };
  }
}
