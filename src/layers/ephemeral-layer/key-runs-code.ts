/**
 * The loops of `key-runs.ts` in WebAssembly. Their memory, from `CRC32C_DATA_OFFSET` on:
 *
 *   0       counts: u32 keys, u32 replaced rows, u64 bytes of all blobs
 *   16      state of the third loop, and the entries that it writes
 *   ...     the rows of a segment
 *   ...     numbers of the rows that are replaced by a later one of the same key and LSN
 *   ...     hash table: u32 number of a key, plus 1; 0 if there is none
 *   ...     keys, 48 bytes each: 18 bytes of the key; at 20 u32 rows, u32 bytes of their blobs, u32 last row, the LSN of that
 *           row, as it stands there, and at 40 u32 bytes of its blob
 *   ...     for each row: u32 number of its key, then the offset of its blob
 *   ...     keys in order: u32 address of the key, u32 number of the entry after its last one
 *   ...     entries: LSN as in the row, u32 length and willInit as in `rows.ts`, but little-endian
 *
 * Before the second loop, the numbers of rows and bytes in a key become those of the keys before it. The third one writes
 * entries for the writer of a layer: entry keys, lengths, starts, and willInit.
 */
import { MAXIMUM_BLOB_HEADER_SIZE, SHORT_BLOB_LIMIT } from '../../blob-writer/blob-format.ts';
import { dataAt } from '../../crc32c-module.ts';
import {
  advance,
  type Code,
  copied,
  copyVector,
  difference,
  differs,
  either,
  get,
  halfAt,
  i32,
  i64,
  ifElse,
  ifTrue,
  isBelow,
  isEqual,
  longAt,
  longsDiffer,
  masked,
  not,
  plus,
  rotated,
  select,
  shifted,
  sum,
  swapped,
  times,
  type WasmFunction,
  whileLoop,
  wordAt,
  words,
  xor,
} from '../../wasm-code.ts';
import { KEY_SIZE } from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import { DETAILS_AT, LENGTH_MASK, ROW_SIZE, SEGMENT_ROWS, WILL_INIT_BIT } from './rows.ts';

export const MAXIMUM_REPLACED = 0x1_0000;

/** The target of a row that another one replaces; also the end of the list of such rows. */
export const NOT_WRITTEN = 0xffff_ffff;

export const COUNTS = { keys: 0, replaced: 4, size: 8 };
/** State of the third loop: the next entry, the place of its key in the order, and the offset of its blob. */
const STATE = { entry: 16, key: 20, blob: 24 };
/** Entries that the third loop writes. */
export const TAKEN_ENTRIES = 512;
const ENTRY_KEYS_AT = 32;
const LENGTHS_AT = ENTRY_KEYS_AT + TAKEN_ENTRIES * DELTA_KEY_SIZE + 16;
const STARTS_AT = LENGTHS_AT + 4 * TAKEN_ENTRIES;
const WILL_INIT_AT = STARTS_AT + 4 * TAKEN_ENTRIES;
export const TAKEN = {
  entryKeys: ENTRY_KEYS_AT,
  lengths: LENGTHS_AT,
  starts: STARTS_AT,
  willInit: WILL_INIT_AT,
};
export const SEGMENT_AT = WILL_INIT_AT + TAKEN_ENTRIES;
export const REPLACED_AT = SEGMENT_AT + SEGMENT_ROWS * ROW_SIZE;
export const TABLE_AT = REPLACED_AT + 4 * (MAXIMUM_REPLACED + SEGMENT_ROWS + 4);

export const KEY_RECORD = {
  size: 48,
  rows: 20,
  bytes: 24,
  lastRow: 28,
  lastLsn: 32,
  lastBytes: 40,
};
export const ORDER = { size: 8, key: 0, end: 4 };
export const ENTRY = { size: 12, details: 8 };

/** The size of a blob with the length in this local. */
const blobSize = (length: number): Code =>
  sum(
    get(length),
    select(
      isBelow(get(length), i32.const(SHORT_BLOB_LIMIT)),
      i32.const(1),
      i32.const(MAXIMUM_BLOB_HEADER_SIZE),
    ),
  );

/** Adds to a field of a record, whose address is in a local. */
const addTo = (record: number, field: number, value: Code): Code => [
  ...get(record),
  ...sum(wordAt(record, field), value),
  ...i32.store(field),
];

/**
 * `addKeys(row, end, number, target, table, mask, keys)`: addresses of the first row and after the last one; the number of
 * the first one; the addresses of its target, of the table and of the keys. The mask is that of the table. Finds the key
 * of each row, or adds it.
 */
function addKeys(): WasmFunction {
  const [row, end, number, target, table, mask, keys] = [0, 1, 2, 3, 4, 5, 6] as const;
  const [slot, key, record, length, size, keyCount, replacedCount] = [
    7, 8, 9, 10, 11, 12, 13,
  ] as const;
  const total = 14;
  const half = (address: number): Code => halfAt(address, 16);
  const hash = [
    ...copied(
      slot,
      times(xor(wordAt(row, 0), rotated(wordAt(row, 4), 7), wordAt(row, 8)), 0x45d9f3b),
    ),
    ...copied(
      slot,
      times(
        xor(get(slot), shifted(wordAt(row, 4), 9), rotated(wordAt(row, 12), 16), half(row)),
        0x2c1b_3c6d,
      ),
    ),
    ...copied(slot, xor(get(slot), shifted(get(slot), 15))),
  ];
  const slotAddress = sum(get(table), times([...get(slot), ...get(mask), ...i32.and], 4));
  const isOther = either(
    either(
      longsDiffer(longAt(row, 8), longAt(record, 8)),
      longsDiffer(longAt(row, 0), longAt(record, 0)),
    ),
    differs(half(row), half(record)),
  );
  const setRecord = copied(record, sum(get(keys), times(plus(get(key), -1), KEY_RECORD.size)));
  const nextSlot = copied(key, [...slotAddress, ...i32.load(0)]);
  /** Ends at the key, or with 0. */
  const find = [
    ...nextSlot,
    ...setRecord,
    ...whileLoop(select(get(key), isOther, i32.const(0)), [
      ...advance(slot, 1),
      ...nextSlot,
      ...setRecord,
    ]),
  ];
  const add = [
    ...advance(keyCount, 1),
    ...copied(key, get(keyCount)),
    ...setRecord,
    ...[...slotAddress, ...get(key), ...i32.store(0)],
    ...[...get(record), ...longAt(row, 0), ...i64.store(0)],
    ...[...get(record), ...longAt(row, 8), ...i64.store(8)],
    ...[...get(record), ...wordAt(row, 14), ...i32.store(14)],
  ];
  const setSize = [
    ...copied(length, masked(swapped(wordAt(row, DETAILS_AT)), LENGTH_MASK)),
    ...copied(size, blobSize(length)),
  ];
  /** The last row of the key, which does not count any more. */
  const replace = [
    ...sum(dataAt(REPLACED_AT), times(get(replacedCount), 4)),
    ...[...wordAt(record, KEY_RECORD.lastRow), ...i32.store(0)],
    ...advance(replacedCount, 1),
    ...addTo(record, KEY_RECORD.rows, i32.const(-1)),
    ...addTo(
      record,
      KEY_RECORD.bytes,
      difference(i32.const(0), wordAt(record, KEY_RECORD.lastBytes)),
    ),
  ];
  const isSameLsn = not(longsDiffer(longAt(row, KEY_SIZE), longAt(record, KEY_RECORD.lastLsn)));
  return {
    name: 'addKeys',
    parameters: words(7),
    locals: [...words(7), 'i64'],
    body: [
      ...copied(keyCount, [...dataAt(COUNTS.keys), ...i32.load(0)]),
      ...copied(replacedCount, [...dataAt(COUNTS.replaced), ...i32.load(0)]),
      ...copied(total, [...dataAt(COUNTS.size), ...i64.load(0)]),
      ...whileLoop(isBelow(get(row), get(end)), [
        ...[...hash, ...find],
        ...ifTrue(not(get(key)), add),
        ...setSize,
        ...ifTrue(select(wordAt(record, KEY_RECORD.rows), isSameLsn, i32.const(0)), replace),
        ...addTo(record, KEY_RECORD.rows, i32.const(1)),
        ...addTo(record, KEY_RECORD.bytes, get(size)),
        ...[...get(record), ...get(number), ...i32.store(KEY_RECORD.lastRow)],
        ...[...get(record), ...longAt(row, KEY_SIZE), ...i64.store(KEY_RECORD.lastLsn)],
        ...[...get(record), ...get(size), ...i32.store(KEY_RECORD.lastBytes)],
        ...[...get(target), ...get(key), ...i32.store(0)],
        ...copied(total, [...get(total), ...get(size), ...i64.ofI32, ...i64.add]),
        ...[...advance(row, ROW_SIZE), ...advance(target, 4), ...advance(number, 1)],
      ]),
      ...[...dataAt(COUNTS.keys), ...get(keyCount), ...i32.store(0)],
      ...[...dataAt(COUNTS.replaced), ...get(replacedCount), ...i32.store(0)],
      ...[...dataAt(COUNTS.size), ...get(total), ...i64.store(0)],
      ...i32.const(0),
    ],
  };
}

/**
 * `placeRows(row, end, number, target, keys, entries, replaced)`: as `addKeys`; then the addresses of the entries and of
 * the next item of the list of replaced rows, which is in order. Returns: that of the next item after these rows.
 */
function placeRows(): WasmFunction {
  const [row, end, number, target, keys, entries, replaced] = [0, 1, 2, 3, 4, 5, 6] as const;
  const [record, entry, details, length] = [7, 8, 9, 10] as const;
  const skip = [
    ...[...get(target), ...i32.const(NOT_WRITTEN | 0), ...i32.store(0)],
    ...advance(replaced, 4),
  ];
  const put = [
    ...copied(record, sum(get(keys), times(plus(wordAt(target, 0), -1), KEY_RECORD.size))),
    ...copied(entry, sum(get(entries), times(wordAt(record, KEY_RECORD.rows), ENTRY.size))),
    ...copied(
      details,
      masked(swapped(wordAt(row, DETAILS_AT)), LENGTH_MASK | (1 << WILL_INIT_BIT)),
    ),
    ...copied(length, masked(get(details), LENGTH_MASK)),
    ...[...get(target), ...wordAt(record, KEY_RECORD.bytes), ...i32.store(0)],
    ...addTo(record, KEY_RECORD.rows, i32.const(1)),
    ...addTo(record, KEY_RECORD.bytes, blobSize(length)),
    ...[...get(entry), ...longAt(row, KEY_SIZE), ...i64.store(0)],
    ...[...get(entry), ...get(details), ...i32.store(ENTRY.details)],
  ];
  return {
    name: 'placeRows',
    parameters: words(7),
    locals: words(4),
    body: [
      ...whileLoop(isBelow(get(row), get(end)), [
        ...ifElse(isEqual(get(number), wordAt(replaced, 0)), skip, put),
        ...[...advance(row, ROW_SIZE), ...advance(target, 4), ...advance(number, 1)],
      ]),
      ...get(replaced),
    ],
  };
}

/**
 * `takeEntries(order, entries, from, end)`: addresses of both, and the range of the blobs. Writes the next entries whose
 * blobs begin before the end. Returns: how many.
 */
function takeEntries(): WasmFunction {
  const [order, entries, from, end] = [0, 1, 2, 3] as const;
  const [count, entry, key, blob, details, length, at] = [4, 5, 6, 7, 8, 9, 10] as const;
  const orderOf = (field: number): Code => [
    ...sum(get(order), times(get(key), ORDER.size)),
    ...i32.load(field),
  ];
  const entryAddress = sum(get(entries), times(get(entry), ENTRY.size));
  const record = orderOf(ORDER.key);
  const item = (place: number): Code => sum(dataAt(place), times(get(count), 4));
  return {
    name: 'takeEntries',
    parameters: words(4),
    locals: words(7),
    body: [
      ...copied(entry, [...dataAt(STATE.entry), ...i32.load(0)]),
      ...copied(key, [...dataAt(STATE.key), ...i32.load(0)]),
      ...copied(blob, [...dataAt(STATE.blob), ...i32.load(0)]),
      ...whileLoop(
        select(
          isBelow(get(count), i32.const(TAKEN_ENTRIES)),
          isBelow(get(blob), get(end)),
          i32.const(0),
        ),
        [
          ...ifTrue(isEqual(get(entry), orderOf(ORDER.end)), advance(key, 1)),
          ...copied(at, sum(dataAt(TAKEN.entryKeys), times(get(count), DELTA_KEY_SIZE))),
          ...copyVector(get(at), record),
          ...[...get(at), ...record, ...i32.load(KEY_SIZE - 4), ...i32.store(KEY_SIZE - 4)],
          ...[...get(at), ...entryAddress, ...i64.load(0), ...i64.store(KEY_SIZE)],
          ...copied(details, [...entryAddress, ...i32.load(ENTRY.details)]),
          ...copied(length, masked(get(details), LENGTH_MASK)),
          ...[...item(TAKEN.lengths), ...get(length), ...i32.store(0)],
          ...sum(dataAt(TAKEN.willInit), get(count)),
          ...[...shifted(get(details), WILL_INIT_BIT), ...i32.store8(0)],
          ...copied(blob, sum(get(blob), blobSize(length))),
          ...item(TAKEN.starts),
          ...[...get(blob), ...get(length), ...i32.sub, ...get(from), ...i32.sub],
          ...i32.store(0),
          ...[...advance(entry, 1), ...advance(count, 1)],
        ],
      ),
      ...[...dataAt(STATE.entry), ...get(entry), ...i32.store(0)],
      ...[...dataAt(STATE.key), ...get(key), ...i32.store(0)],
      ...[...dataAt(STATE.blob), ...get(blob), ...i32.store(0)],
      ...get(count),
    ],
  };
}

/** One array, as the module is compiled once for it. */
export const KEY_RUN_FUNCTIONS: readonly WasmFunction[] = [addKeys(), placeRows(), takeEntries()];
