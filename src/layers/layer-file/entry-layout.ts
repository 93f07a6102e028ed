/**
 * What the entries of an index mean in each kind of layer.
 *
 *   delta  key: 18-byte key, LSN u64     value: file offset * 2 + willInit
 *   image  key: 18-byte key              value: file offset
 */
import { StorageError } from '../../errors.ts';
import type { IndexNode } from '../disk-btree/node-format.ts';
import type { EntryRules } from '../disk-btree/reader.ts';
import { formatKey, KEY_SIZE, type Key } from '../key.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import type { LayerSummary } from './summary.ts';

export const LSN_SIZE = 8;
export const DELTA_KEY_SIZE = KEY_SIZE + LSN_SIZE;

/** Largest file offset that a delta's index can hold. */
export const MAXIMUM_DELTA_OFFSET = 0x3f_ffff_ffff;

export interface IndexEntry {
  readonly key: Key;
  readonly lsn: Lsn;
  /** Nothing older of the key is needed. */
  readonly willInit: boolean;
  /** File offset of the blob. */
  readonly offset: number;
}

export interface EntryLayout extends EntryRules {
  /** The entry key to search for; `lsn` is ignored where entries have none. */
  readonly entryKey: (key: Key, lsn: Lsn) => Uint8Array;
  readonly offset: (node: IndexNode, index: number) => number;
  readonly willInit: (node: IndexNode, index: number) => boolean;
  readonly lsn: (entryKey: Uint8Array) => Lsn;
}

export function layoutOf(summary: LayerSummary): EntryLayout {
  return summary.kind === 'delta' ? deltaLayout(summary) : imageLayout(summary);
}

/** One entry; its key is a fresh array. */
export function entryAt(layout: EntryLayout, node: IndexNode, index: number): IndexEntry {
  const entryKey = node.key(index);
  return {
    key: entryKey.subarray(0, KEY_SIZE),
    lsn: layout.lsn(entryKey),
    willInit: layout.willInit(node, index),
    offset: layout.offset(node, index),
  };
}

/** Key and LSN in one, 26 bytes; a fresh array. */
export function deltaEntryKey(key: Key, lsn: Lsn): Uint8Array {
  const entryKey = new Uint8Array(DELTA_KEY_SIZE);
  entryKey.set(key);
  new DataView(entryKey.buffer).setBigUint64(KEY_SIZE, lsn);
  return entryKey;
}

function deltaLayout(summary: LayerSummary & { kind: 'delta' }): EntryLayout {
  const { keyRange, lsnRange } = summary;
  return {
    keySize: DELTA_KEY_SIZE,
    first: deltaEntryKey(keyRange.start, 0n),
    end: deltaEntryKey(keyRange.end, 0n),
    problem: lsnRangeProblem(lsnRange.start, lsnRange.end),
    entryKey: deltaEntryKey,
    offset: (node, index) => Math.floor(node.leafValue(index) / 2),
    willInit: (node, index) => node.leafValue(index) % 2 === 1,
    lsn: lsnOf,
  };
}

function imageLayout(summary: LayerSummary & { kind: 'image' }): EntryLayout {
  const { keyRange, lsn } = summary;
  return {
    keySize: KEY_SIZE,
    first: keyRange.start,
    end: keyRange.end,
    problem: () => undefined,
    entryKey: (key) => key,
    offset: (node, index) => node.leafValue(index),
    willInit: () => true,
    lsn: () => lsn,
  };
}

/** Compares the last 8 bytes of entry keys in place, with no bigint an entry. */
function lsnRangeProblem(start: Lsn, end: Lsn): EntryLayout['problem'] {
  const entryKey = new Uint8Array(DELTA_KEY_SIZE);
  const startBytes = lsnBytes(start);
  const endBytes = lsnBytes(end);
  return (node, index) => {
    node.copyKey(index, entryKey);
    if (compareLsn(entryKey, startBytes) >= 0 && compareLsn(entryKey, endBytes) < 0) {
      return undefined;
    }
    return new StorageError('out-of-range', {
      what: `entry ${index} of index block ${node.block} is outside the layer's LSN range`,
      key: formatKey(entryKey),
      expected: `${formatLsn(start)} to ${formatLsn(end)}`,
      actual: formatLsn(lsnOf(entryKey)),
    });
  };
}

function lsnOf(entryKey: Uint8Array): Lsn {
  return new DataView(entryKey.buffer, entryKey.byteOffset, DELTA_KEY_SIZE).getBigUint64(KEY_SIZE);
}

function lsnBytes(lsn: Lsn): Uint8Array {
  const bytes = new Uint8Array(LSN_SIZE);
  new DataView(bytes.buffer).setBigUint64(0, lsn);
  return bytes;
}

function compareLsn(entryKey: Uint8Array, lsn: Uint8Array): number {
  for (let byte = 0; byte < LSN_SIZE; byte += 1) {
    const difference = (entryKey[KEY_SIZE + byte] as number) - (lsn[byte] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}
