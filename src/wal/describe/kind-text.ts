/**
 * An entry in a table of descriptions: the layout of a record's main data, the text with the fields of that layout, and
 * the rest of the text. Where versions differ, the table has one entry for each run of versions, such as
 * `{ '14-15': …, '16-17': … }`.
 */
import { corrupt } from '../../errors.ts';
import type { BlockReference, WalRecord } from '../record-format.ts';
import type { TimeStyle } from './time.ts';

/** Something for all versions, or by runs of them. */
export type ByVersions<T> = T | Readonly<Record<string, T>>;

/** How a kind of record is described. A kind without anything has an empty description. */
export interface KindText {
  /** Layout of the main data; longer data is not an error. Default: empty. */
  readonly layout?: ByVersions<string>;
  /** Layout in records of Neon's dialect of 14 and 15. */
  readonly neonLayout?: string;
  /** Template over the layout. Default: empty. */
  readonly text?: ByVersions<string>;
  /** The text after the template. Throws `corrupt`. */
  readonly more?: ByVersions<(subject: Subject) => string>;
}

/** Descriptions of a resource manager by the name of the operation, without `+INIT`. */
export type ManagerTexts = Readonly<Record<string, KindText>>;

/** A record that is described. */
export interface Subject {
  readonly record: WalRecord;
  /** Its main data. */
  readonly data: Uint8Array;
  readonly majorVersion: number;
  readonly style: TimeStyle;
}

/** The entry of a version; undefined if the table has none. */
export function ofVersion<T extends string | ((subject: Subject) => string)>(
  entries: ByVersions<T> | undefined,
  majorVersion: number,
): T | undefined {
  if (typeof entries !== 'object') return entries;
  for (const [versions, entry] of Object.entries(entries)) {
    const [first, last = first] = versions.split('-').map(Number);
    if (majorVersion >= (first ?? 0) && majorVersion <= (last ?? 0)) return entry;
  }
  return undefined;
}

/** The reference with an id; undefined if the record has none. */
export function blockOf({ record }: Subject, id: number): BlockReference | undefined {
  const { blocks } = record;
  // Ids seldom have gaps.
  if (blocks[id]?.id === id) return blocks[id];
  return blocks.find((block) => block.id === id);
}

/** Data of block 0, or undefined if it has none: with an image, the record need not have it. */
export function blockDataOf(subject: Subject): Uint8Array | undefined {
  const data = blockOf(subject, 0)?.data;
  return data?.length === 0 ? undefined : data;
}

/** Data of block 0, which a kind of record always has. Throws `corrupt`. */
export function requiredBlockData(subject: Subject): Uint8Array {
  const data = blockDataOf(subject);
  if (data !== undefined) return data;
  throw corrupt('data of block 0', undefined, 'some', 'none');
}
