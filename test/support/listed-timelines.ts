/** Timelines whose lists are made by hand: one image layer. */
import { compareKeys, type Key, keyFromFields } from '../../src/layers/key.ts';
import {
  encodeDatabaseDirectory,
  encodeRelationDirectory,
  encodeSlruDirectory,
} from '../../src/postgres/directory-values.ts';
import type { Fork } from '../../src/postgres/fork.ts';
import {
  databaseDirectoryKey,
  relationDirectoryKey,
  relationSizeKey,
  SLRU_NAMES,
  slruDirectoryKey,
} from '../../src/postgres/key-mapping.ts';
import { encodeRelationSize } from '../../src/postgres/relation-size.ts';
import type { TimelineDirectory } from '../../src/timeline/directory.ts';
import { openTimeline } from '../../src/timeline/open-timeline.ts';
import { writeImages } from './layers.ts';

export const LSN = 0x2000n;
export const TENANT = '11223344556677889900aabbccddeeff';
export const TIMELINE = 'ffeeddccbbaa00998877665544332211';
export const SHARED = { spcnode: 1664, dbnode: 0 };
export const DATABASE = { spcnode: 1663, dbnode: 5 };
export const EMPTY_SLRUS: Entry[] = SLRU_NAMES.map((slru) => [
  slruDirectoryKey(slru),
  encodeSlruDirectory([]),
]);

export type Entry = readonly [Key, Uint8Array];

/** An image layer with the entries, in any order. */
export async function layerOf(entries: readonly Entry[]) {
  const sorted = entries.toSorted(([left], [right]) => compareKeys(left, right));
  const keyRange = { start: databaseDirectoryKey(), end: fieldsKey(0x7e) };
  const images = sorted.map(([key, image]) => ({ key, image }));
  return writeImages(images, { keyRange, lsn: LSN, tenantId: TENANT, timelineId: TIMELINE });
}

export async function directoryOf(entries: readonly Entry[]): Promise<TimelineDirectory> {
  const { bytes } = await layerOf(entries);
  await using timeline = await openTimeline({ layer: bytes }, { pgVersion: 17 });
  return await timeline.directory(LSN, { names: 'read' });
}

export function fieldsKey(field1: number, fields: readonly number[] = []): Key {
  const [field2 = 0, field3 = 0, field4 = 0, field5 = 0, field6 = 0] = fields;
  return keyFromFields({ field1, field2, field3, field4, field5, field6 });
}

export function databases(...ids: (typeof DATABASE & { hasRelationMap?: boolean })[]): Entry {
  const listed = ids.map((id) => ({ hasRelationMap: false, ...id }));
  return [databaseDirectoryKey(), encodeDatabaseDirectory(listed)];
}

export function relations(
  database: typeof DATABASE,
  forks: readonly (readonly [number, Fork])[],
): Entry {
  const listed = forks.map(([relnode, fork]) => ({ relnode, fork }));
  return [relationDirectoryKey(database), encodeRelationDirectory(listed)];
}

export function size(
  database: typeof DATABASE,
  relnode: number,
  fork: Fork,
  blockCount: number,
): Entry {
  return [relationSizeKey({ ...database, relnode, fork }), encodeRelationSize(blockCount)];
}
