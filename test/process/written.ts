/**
 * What the writing program writes: everything follows from numbers, so that whoever looks at the
 * directory later, from whatever process, knows each byte.
 */
import { addToKey, type Key, maximumKey, minimumKey } from '../../src/layers/key.ts';
import { type LayerName, parseLayerName } from '../../src/layers/layer-name.ts';
import { encodeValue, type Value } from '../../src/layers/value-format.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import type { TimelineMetadataFields } from '../../src/write-once/timeline-metadata.ts';
import { blockKey, noise } from '../support/layers.ts';

export const FILE_NAME = 'document';
export const METADATA_NAME = 'metadata';
/** Lies in the directory from the beginning; nobody may touch it. */
export const BYSTANDER_NAME = 'bystander.txt';

export type LayerSort = 'delta' | 'image' | 'ephemeral';

const SORTS: readonly LayerSort[] = ['delta', 'image', 'ephemeral'];

/** Each layer has LSNs of its own, and so a name of its own. */
const LSNS_PER_LAYER = 0x1000n;

export const FIRST_KEY = blockKey(0);

export interface WrittenEntry {
  readonly key: Key;
  readonly lsn: bigint;
  readonly value: Value;
  /** What the layer holds of it. */
  readonly stored: Uint8Array;
}

export interface PlannedLayer {
  readonly number: number;
  readonly sort: LayerSort;
  readonly name: LayerName;
  readonly entries: readonly WrittenEntry[];
}

export function plannedLayer(number: number): PlannedLayer {
  const sort = SORTS[number % SORTS.length] ?? 'delta';
  const choose = seededChoices(number);
  const startLsn = BigInt(number + 1) * LSNS_PER_LAYER;
  const entries = Array.from({ length: 1 + choose(80) }, (_, index): WrittenEntry => {
    const lsn = sort === 'image' ? startLsn : startLsn + BigInt(1 + choose(0xff0));
    const bytes = noise(choose(900), number * 100 + index);
    const value: Value = { type: 'image', bytes };
    const stored = sort === 'image' ? bytes : encodeValue(value);
    return { key: addToKey(FIRST_KEY, index), lsn, value, stored };
  });
  const keyRange =
    sort === 'ephemeral'
      ? { start: minimumKey(), end: maximumKey() }
      : { start: FIRST_KEY, end: addToKey(FIRST_KEY, entries.length) };
  const lsnRange = { start: startLsn, end: startLsn + LSNS_PER_LAYER };
  const name: LayerName =
    sort === 'image'
      ? { kind: 'image', keyRange, lsn: startLsn }
      : { kind: 'delta', keyRange, lsnRange };
  return { number, sort, name, entries };
}

/** The number of the layer that has the name. Throws where it is no layer's name. */
export function numberOfLayer(fileName: string): number {
  const name = parseLayerName(fileName);
  const startLsn = name.kind === 'image' ? name.lsn : name.lsnRange.start;
  return Number(startLsn / LSNS_PER_LAYER) - 1;
}

/** Long or short, so that some versions take one write and some many pages. */
export function fileContent(version: number): Uint8Array {
  const content = noise(8 + seededChoices(version)(120_000), version);
  new DataView(content.buffer).setFloat64(0, version);
  return content;
}

/** Which version the content claims to be; -1 where it is too short to say. */
export function versionOfContent(content: Uint8Array): number {
  if (content.length < 8) return -1;
  return new DataView(content.buffer, content.byteOffset).getFloat64(0);
}

export function metadataFields(version: number): TimelineMetadataFields {
  return {
    diskConsistentLsn: BigInt(version) * 8n,
    prevRecordLsn: null,
    ancestorTimeline: null,
    ancestorLsn: 0n,
    latestGcCutoffLsn: 0n,
    initdbLsn: 0n,
    pgVersion: 17,
  };
}
