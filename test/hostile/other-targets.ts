/** Everything else that reads bytes or text of others, each with what must hold of it. */

import { crc32cOf } from '../../src/checksum.ts';
import { StorageError } from '../../src/errors.ts';
import { parseKey } from '../../src/layers/key.ts';
import { formatLayerName, parseLayerName } from '../../src/layers/layer-name.ts';
import { parseLsn } from '../../src/layers/lsn.ts';
import { decodeValue, encodeValue, valueWillInit } from '../../src/layers/value-format.ts';
import { outlineOfValue, outlineOfValueAt } from '../../src/layers/value-outline.ts';
import { decodeDocument, encodeDocument } from '../../src/write-once/document.ts';
import { formatTenantConfig, parseTenantConfig } from '../../src/write-once/tenant-config.ts';
import {
  decodeTimelineMetadata,
  encodeTimelineMetadata,
} from '../../src/write-once/timeline-metadata.ts';
import { timelineMetadataFromJson } from '../../src/write-once/timeline-metadata-json.ts';
import { DEFAULT_DECOMPRESSION_LIMITS, Decompressor } from '../../src/zstd/decompression.ts';
import { encodeFrame } from '../support/zstd-frames.ts';
import { BUILD_INPUTS, checkBuildInput } from './build-input.ts';
import { errorOr, must, read } from './expectations.ts';
import { type Choose, mutateBytes } from './mutations.ts';
import {
  checkControlFile,
  checkPage,
  checkRelationName,
  mutatedControlFile,
  RELATION_NAMES,
  randomPage,
} from './postgres-files.ts';

type Outcome = boolean | Promise<boolean>;

export interface Target {
  readonly name: string;
  /** Makes one input and reads it; throws only if that was done wrong. True if it was read. */
  readonly run: (choose: Choose) => Outcome;
}

/** Readers of small things, each of any bytes. Throw only if that was done wrong; true if read. */
export const READERS = {
  metadata: checkMetadata,
  document: checkDocument,
  map: (bytes: Buffer) => checkDocument(framed(bytes)),
  'tenant config': (bytes: Buffer) => checkConfig(bytes.toString()),
  value: checkValue,
  frame: async (bytes: Buffer) => checkFrame(bytes, await Decompressor.load()),
  name: (bytes: Buffer) => checkName(bytes.toString('latin1')),
  json: (bytes: Buffer) => checkJson(bytes.toString()),
  pg_control: checkControlFile,
  'relation name': (bytes: Buffer) => checkRelationName(bytes.toString('latin1')),
  page: checkPage,
  'input of build': checkBuildInput,
} as const satisfies Record<string, (bytes: Buffer) => Outcome>;

/** What the fuzzer gives to each of them. */
export const INPUTS: Record<keyof typeof READERS, (choose: Choose) => Buffer> = {
  metadata: (choose) => mutated(METADATA, choose, 8, 0, choose(4) > 0),
  document: (choose) => mutated(DOCUMENT, choose, 8, 4, choose(4) > 0),
  map: randomMsgpack,
  'tenant config': (choose) => mutateBytes(pickOne(CONFIGS, choose), choose),
  value: (choose) => mutateBytes(pickOne(VALUES, choose), choose),
  frame: (choose) => mutateBytes(pickOne(FRAMES, choose), choose),
  name: (choose) => mutateBytes(Buffer.from(pickOne(NAMES, choose)), choose),
  json: (choose) => mutateBytes(Buffer.from(METADATA_JSON), choose),
  pg_control: mutatedControlFile,
  'relation name': (choose) => mutateBytes(Buffer.from(pickOne(RELATION_NAMES, choose)), choose),
  page: randomPage,
  'input of build': (choose) => mutateBytes(Buffer.from(pickOne(BUILD_INPUTS, choose)), choose),
};

/** In a fixed order, so that a seed means the same. */
const READER_NAMES = Object.keys(READERS) as (keyof typeof READERS)[];

export const OTHER_TARGETS: readonly Target[] = READER_NAMES.map((name) => ({
  name,
  run: (choose) => READERS[name](INPUTS[name](choose)),
}));

export const METADATA = encodeTimelineMetadata({
  diskConsistentLsn: 0x1000n,
  prevRecordLsn: 0x0ff8n,
  ancestorTimeline: '11223344556677889900aabbccddeeff',
  ancestorLsn: 0x100n,
  latestGcCutoffLsn: 0x200n,
  initdbLsn: 0x300n,
  pgVersion: 15,
});

const DOCUMENT = encodeDocument({
  name: 'a',
  list: [1, -1, 2n ** 63n, 1.5, true, null, ['x', [new Uint8Array(3)]]],
  map: { one: { two: { three: 3 } }, constructor: 'c' },
});

const CONFIGS = [
  '# comment\n#\n\n[tenant_config]\ncheckpoint_distance = 1\npitr_interval = "1s"\n',
  '# comment\n#\n[mode.Attached]\ngeneration = 1\nattach_mode = "Single"\n[shard]\nnumber = 0\n[tenant_conf]\nx = [1, { y = 2 }]\nz = 1979-05-27T07:32:00Z\n',
  '[mode.Secondary]\nwarm = true\n',
].map((text) => Buffer.from(text));

const VALUES = [
  encodeValue({ type: 'image', bytes: new Uint8Array(9) }),
  encodeValue({ type: 'wal', willInit: true, bytes: new Uint8Array(9) }),
  encodeValue({ type: 'clear_vm', newHeapBlock: 1, oldHeapBlock: 2, flags: 3 }),
  encodeValue({ type: 'clog_set_committed', xids: [1, 2], timestamp: 3n }),
  encodeValue({
    type: 'multixact_members_create',
    multixactOffset: 1,
    members: [{ xid: 1, status: 2 }],
  }),
  encodeValue({ type: 'aux_file', path: 'a/\u00e4', content: new Uint8Array(3) }),
  encodeValue({ type: 'truncate_vm', truncByte: 1n, truncOffset: 2n }),
];

const FRAMES = [
  encodeFrame({ blocks: [{ kind: 'repeated', byte: 1, length: 100 }], checksum: 'right' }),
  encodeFrame({
    blocks: [{ kind: 'raw', bytes: Buffer.from('content') }],
    contentSize: { size: 8, value: 7n },
  }),
  encodeFrame({
    blocks: Array.from(
      { length: 12 },
      (_, byte) => ({ kind: 'repeated', byte, length: 131_072 }) as const,
    ),
    window: 0x58,
    checksum: undefined,
  }),
  Buffer.from('28b52ffd0058b5000060010203040506070809000a0b0c0d0e0f1011020003000000', 'hex'),
];

const NAMES = [
  '000000067F00000005000040000000000000-000000067F00000005000040000000000150__0000000001000000-0000000002000000',
  '000000067F00000005000040000000000000-000000067F00000005000040000000000150__0000000001000000-v1-0000002a',
  '000000067F00000005000040000000000000',
  '0/16B3748',
];

const METADATA_JSON =
  '{"disk_consistent_lsn":"0/1000","prev_record_lsn":null,"ancestor_timeline":null,"ancestor_lsn":"0/0","latest_gc_cutoff_lsn":"0/0","initdb_lsn":"0/0","pg_version":15,"__proto__":{"pg_version":14}}';

/** Mutated, and with a right checksum where wanted, so that what lies after it is reached. */
function mutated(
  bytes: Uint8Array,
  choose: Choose,
  from: number,
  at: number,
  isFixed: boolean,
): Buffer {
  const result = mutateBytes(bytes, choose);
  if (!isFixed || result.length < from) return result;
  const size = at === 0 ? result.readUInt16BE(4) : result.length;
  result.writeUInt32BE(crc32cOf(result.subarray(from, Math.max(from, size))), at);
  return result;
}

/** A document around any bytes. */
export function framed(map: Uint8Array): Buffer {
  const bytes = Buffer.concat([Buffer.from('LFDC'), Buffer.alloc(12), map]);
  bytes.writeUInt16BE(1, 8);
  bytes.writeUInt32BE(map.length, 12);
  bytes.writeUInt32BE(crc32cOf(bytes.subarray(8)), 4);
  return bytes;
}

/** Headers of containers and strings, more often than not with too little after them. */
function randomMsgpack(choose: Choose): Buffer {
  const tags = [
    0x81, 0x82, 0x8f, 0x91, 0x9f, 0xa1, 0xc0, 0xc4, 0xc6, 0xcb, 0xcf, 0xd3, 0xd9, 0xdb, 0xdc, 0xdd,
    0xde, 0xdf, 0xc7, 0xd4,
  ];
  return Buffer.from(
    Array.from({ length: 1 + choose(60) }, () =>
      choose(3) > 0 ? pickOne(tags, choose) : choose(256),
    ),
  );
}

function checkMetadata(bytes: Buffer): boolean {
  const metadata = read(() => decodeTimelineMetadata(bytes), true);
  if (metadata === undefined) return false;
  if (metadata.storedFormatVersion === 4) {
    must(
      Buffer.compare(encodeTimelineMetadata(metadata), bytes) === 0,
      'metadata is written as read',
    );
  }
  return true;
}

function checkDocument(bytes: Buffer): boolean {
  const document = read(() => decodeDocument(bytes), true);
  if (document === undefined) return false;
  must(Object.getPrototypeOf(document) === null, 'a map has no prototype');
  const again = encodeDocument(document);
  must(Buffer.compare(encodeDocument(decodeDocument(again)), again) === 0, 'a document comes back');
  return true;
}

function checkConfig(text: string): boolean {
  const config = read(() => parseTenantConfig(text), false);
  if (config === undefined) return false;
  const again = formatTenantConfig(config);
  must(formatTenantConfig(parseTenantConfig(again)) === again, 'a configuration comes back');
  return true;
}

function checkValue(bytes: Buffer): boolean {
  const value = errorOr(() => decodeValue(bytes));
  const outlines = [
    errorOr(() => outlineOfValue(bytes)),
    errorOr(() => outlineOfValueAt(bytes, 0, bytes.length)),
  ];
  if (value instanceof StorageError) {
    must(
      outlines.every((each) => each instanceof StorageError && each.message === value.message),
      'the outline has the same error',
    );
    return false;
  }
  for (const outline of outlines) {
    must(!(outline instanceof StorageError), 'what is decoded has an outline');
    must(
      outline.type === value.type && outline.willInit === valueWillInit(value),
      'the outline is right',
    );
  }
  must(Buffer.compare(encodeValue(value), bytes) === 0, 'a value is written as read');
  return true;
}

function checkFrame(bytes: Buffer, decompressor: Decompressor): boolean {
  const limits = { ...DEFAULT_DECOMPRESSION_LIMITS, maximumLength: 1024 * 1024 };
  const content = errorOr(() => decompressor.decompress(bytes, limits));
  const pieces: Buffer[] = [];
  const length = errorOr(() =>
    decompressor.decompressPieces(bytes, limits, (piece) => pieces.push(Buffer.from(piece))),
  );
  if (content instanceof StorageError) {
    must(
      length instanceof StorageError && length.message === content.message,
      'pieces have the same error',
    );
    return false;
  }
  must(content.length <= limits.maximumLength, 'no more comes out than the limit');
  must(
    length === content.length && Buffer.concat(pieces).equals(content),
    'pieces have the same content',
  );
  return true;
}

function checkName(text: string): boolean {
  for (const parse of [parseKey, parseLsn]) read(() => parse(text), false, ['invalid-input']);
  const name = read(() => parseLayerName(text), false, ['invalid-input', 'ambiguous-name']);
  if (name === undefined) return false;
  const canonical = formatLayerName(name);
  must(
    /^[0-9A-Fv_-]+(-v1-[0-9a-f]{8})?$/.test(canonical),
    'names are printed in their own letters',
  );
  must(formatLayerName(parseLayerName(canonical)) === canonical, 'a name comes back');
  return true;
}

function checkJson(text: string): boolean {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
  return read(() => timelineMetadataFromJson(json), false) !== undefined;
}

function pickOne<T>(from: readonly T[], choose: Choose): T {
  return from[choose(from.length)] as T;
}
