/**
 * The classes of hostile files, one by one: what each example costs and how it ends. The exhaustive
 * runs and the fuzzer look for what this list has forgotten.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ByteSource, bytesSource } from '../../src/blob-writer/byte-source.ts';
import { StorageError, type StorageErrorCode } from '../../src/errors.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { formatLayerName, parseLayerName } from '../../src/layers/layer-name.ts';
import { MAXIMUM_LSN } from '../../src/layers/lsn.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { decodeValue } from '../../src/layers/value-format.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { decodeDocument, readDocument } from '../../src/write-once/document.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { parseTenantConfig, readTenantConfig } from '../../src/write-once/tenant-config.ts';
import { readTimelineMetadata } from '../../src/write-once/timeline-metadata.ts';
import { timelineMetadataFromJson } from '../../src/write-once/timeline-metadata-json.ts';
import {
  deltaKey,
  type LayerSpec,
  layerBytes,
  nodeBlock,
  offsetsOf,
  shortBlob,
} from '../support/hand-made.ts';
import {
  blockKey,
  deltaOptions,
  drain,
  IDS,
  KEY_RANGE,
  LSN_RANGE,
  memoryDisk,
  noise,
  writeImages,
} from '../support/layers.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { encodeFrame, type TestFrame } from '../support/zstd-frames.ts';
import { checkLayer, LIMITS } from './oracle.ts';
import { framed } from './other-targets.ts';
import { frameBlob } from './seeds.ts';

const MIB = 1024 * 1024;

/** An image layer of these blobs, one after the other, in one leaf. */
function imageOf(blobs: readonly Uint8Array[], spec: Partial<LayerSpec> = {}): Buffer {
  const keys = blobs.map((_, index) => blockKey(index));
  const blocks = [nodeBlock({ keys, values: offsetsOf(blobs), prefixLength: 14 })];
  return layerBytes({ kind: 'image', blobs, blocks, ...spec });
}

/** Tells the longest read that was asked for: nothing larger was allocated for the file. */
function measured(bytes: Uint8Array): ByteSource & { largest: number; total: number } {
  const inner = bytesSource(bytes, '/layer');
  return {
    size: bytes.length,
    path: '/layer',
    largest: 0,
    total: 0,
    read(target, offset) {
      this.largest = Math.max(this.largest, target.length);
      this.total += target.length;
      return inner.read(target, offset);
    },
  };
}

async function everyReadOf(source: ByteSource): Promise<StorageErrorCode | undefined> {
  await using reader = await openLayer(source, LIMITS);
  let code: StorageErrorCode | undefined;
  for (const reverse of [false, true]) {
    const error = await drain(reader.entries({ reverse })).then(() => undefined, asStorageError);
    code ??= error?.code;
  }
  await drain(reader.salvage());
  await verifyLayer(source, LIMITS);
  return code;
}

function asStorageError(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  throw error;
}

describe('a length is checked before anything is allocated for it', () => {
  it.each<[string, number[]]>([
    ['plain, of 256 MiB', [0x8f, 0xff, 0xff, 0xff]],
    ['compressed, of 256 MiB', [0x9f, 0xff, 0xff, 0xff]],
    ['of one byte more than there is', [0x80, 0x00, 0x1f, 0xfd]],
    ['short, across the end of the values', [0x7f]],
  ])(
    'the length of a blob is checked before anything is allocated for it: %s',
    async (_, header) => {
      const bytes = imageOf([Uint8Array.from(header)]);
      if (header.length === 1) bytes.copyWithin(16_383, 8192, 8193);
      const source = measured(bytes);
      if (header.length === 1) bytes.writeUIntBE(16_383, 16_384 + 5 + 18, 5);
      expect(await everyReadOf(source)).toBe('truncated');
      expect(source.largest).toBeLessThanOrEqual(bytes.length);
    },
  );

  it.each<[string, string]>([
    ['of an image', '00000000ffffffffffffffff'],
    ['of a record', '000000010000000001ffffffffffffffff'],
    ['of a list', '0000000100000003ffffffffffffffff'],
    ['of members', '000000010000000500000000ffffffffffffffff'],
    ['of a path', '00000001000000067fffffffffffffff'],
  ])('the length of a value is checked before anything is allocated for it: %s', (_, hex) => {
    expect(storageErrorThrownBy(() => decodeValue(Buffer.from(hex, 'hex'))).code).toBe('corrupt');
  });
});

describe('a decompression bomb', () => {
  const zeros = (blocks: number, frame: Partial<TestFrame> = {}) =>
    encodeFrame({
      blocks: Array.from(
        { length: blocks },
        () => ({ kind: 'repeated', byte: 0, length: 131_072 }) as const,
      ),
      ...frame,
    });

  it.each<[string, Uint8Array, StorageErrorCode]>([
    [
      'claims 2 GiB in 12 bytes',
      zeros(1, { contentSize: { size: 4, value: 1n << 31n } }).subarray(0, 12),
      'truncated',
    ],
    [
      'claims more than its blocks can give',
      zeros(1, { contentSize: { size: 4, value: 131_073n } }),
      'corrupt',
    ],
    [
      'claims less than its blocks give',
      zeros(1, { contentSize: { size: 4, value: 131_071n } }),
      'corrupt',
    ],
    [
      'claims more than 2^53 bytes',
      zeros(1, { contentSize: { size: 8, value: (1n << 53n) + 1n } }),
      'too-large',
    ],
    ['gives more than the limit', zeros(9), 'too-large'],
    ['gives far more than the limit', zeros(10_000), 'too-large'],
    ['asks for a window of 16 MiB', zeros(1, { window: 14 << 3 }), 'too-large'],
    ['asks for the largest window', zeros(1, { window: 0xff }), 'too-large'],
    [
      'is a single segment of 9 MiB',
      zeros(72, { contentSize: { size: 4, value: 9n << 20n } }),
      'too-large',
    ],
    ['has bytes behind it', Buffer.concat([zeros(1), Buffer.alloc(1)]), 'corrupt'],
    ['is two frames', Buffer.concat([zeros(1), zeros(1)]), 'corrupt'],
    ['is a skippable frame', Buffer.from('502a4d1804000000aabbccdd', 'hex'), 'corrupt'],
    ['has a wrong checksum', zeros(1, { checksum: 'wrong' }), 'corrupt'],
    ['wants a dictionary', zeros(1, { dictionary: Uint8Array.of(7) }), 'corrupt'],
  ])(
    'a decompression bomb that %s is refused by its header and its blocks',
    async (_, frame, code) => {
      expect(await everyReadOf(bytesSource(imageOf([frameBlob(frame)]), '/layer'))).toBe(code);
    },
  );

  it('a decompression bomb at the limit is read, and so is a window that an option allows', async () => {
    const bytes = imageOf([frameBlob(zeros(8)), frameBlob(zeros(1, { window: 14 << 3 }))]);
    await using reader = await openLayer(bytesSource(bytes), {
      ...LIMITS,
      maximumWindowSize: 16 * MIB,
    });
    const entries = await drain(reader.entries());
    expect(entries.map((entry) => entry.bytes.length)).toEqual([MIB, 131_072]);
  });

  it('a decompression bomb in each of many entries is refused once all together cost too much', async () => {
    const blobs = Array.from({ length: 400 }, () => frameBlob(zeros(8)));
    const bytes = imageOf(blobs);
    const report = await verifyLayer(bytesSource(bytes), LIMITS);
    // 8 times the limit of a blob, and 512 times the file.
    const enough = Math.ceil((8 * MIB + 512 * bytes.length) / MIB);
    expect(report.entries).toBeLessThanOrEqual(enough + 1);
    expect(report.errors).toBe(400 - report.entries);
    expect(report.findings[0]?.code).toBe('too-large');
    for (const reverse of [false, true]) {
      await using reader = await openLayer(bytesSource(bytes), LIMITS);
      const error = await storageErrorOf(drainCounting(reader.entries({ reverse })));
      expect(error.code).toBe('too-large');
    }
  });

  it('a decompression bomb is streamed in pieces of at most 1 MiB if there is no limit', async () => {
    const bytes = imageOf([frameBlob(zeros(2)), frameBlob(zeros(2000)), shortBlob(noise(3, 1))]);
    await using reader = await openLayer(bytesSource(bytes));
    const seen: [string, number][] = [];
    for await (const item of reader.salvageStreamed()) {
      if (item.kind !== 'large-entry') {
        seen.push([item.kind, item.kind === 'batch' ? item.batch.count : 0]);
        continue;
      }
      let largest = 0;
      const length = await item.stream((piece) => {
        largest = Math.max(largest, piece.length);
      });
      expect(largest).toBeLessThanOrEqual(MIB);
      seen.push([item.kind, Number(length)]);
    }
    expect(seen).toEqual([
      ['batch', 1],
      ['large-entry', 2000 * 131_072],
      ['batch', 1],
    ]);
  });
});

describe('a cycle', () => {
  it('a cycle or a bomb of shared blocks in the index is left in time, with few reads', async () => {
    const count = 500;
    const keys = Array.from({ length: count }, (_, index) => blockKey(index));
    const blobs = [shortBlob(noise(1, 1))];
    const blocks = Array.from({ length: 256 }, (_, level) =>
      level === 0
        ? nodeBlock({ keys: keys.slice(0, 1), values: offsetsOf(blobs), prefixLength: 14 })
        : nodeBlock({ level, keys, children: keys.map(() => level - 1), prefixLength: 14 }),
    );
    const bytes = layerBytes({ kind: 'image', blobs, blocks });
    const source = measured(bytes);
    const start = process.cpuUsage();
    expect(await everyReadOf(source)).toBe('corrupt');
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1e6).toBeLessThan(5);
    // Blocks are read in runs of up to 16, here all but one unused.
    expect(source.total).toBeLessThan(2 * 16 * bytes.length + 16 * bytes.length);
  });
});

describe('an offset', () => {
  it('an offset that many entries share is read once, backwards, too', async () => {
    const count = 400;
    const blob = Buffer.concat([Buffer.from([0x80, 0x00, 0x1f, 0x00]), noise(0x1f00, 1)]);
    const keys = Array.from({ length: count }, (_, index) => blockKey(index));
    const leaf = nodeBlock({ keys, values: keys.map(() => 8192), prefixLength: 14 });
    const bytes = layerBytes({ kind: 'image', blobs: [blob], blocks: [leaf] });
    const source = measured(bytes);
    expect(await everyReadOf(source)).toBe('corrupt');
    expect(source.total).toBeLessThan(30 * bytes.length);
    const report = await verifyLayer(bytesSource(bytes));
    expect([report.entries, report.errors]).toEqual([1, count - 1]);
  });

  it('an offset into a blob, the summary or the index is refused', async () => {
    const valid = [shortBlob(noise(9, 1)), shortBlob(noise(9, 2))];
    for (const offset of [0, 8191, 8193, 16_384, 16_383 + 8192 * 2, 0x7f_ffff_ffff]) {
      const keys = [blockKey(0), blockKey(1)];
      const leaf = nodeBlock({ keys, values: [8192, offset], prefixLength: 14 });
      const bytes = layerBytes({ kind: 'image', blobs: valid, blocks: [leaf] });
      expect((await checkLayer(bytes)).verdict).toBe('damaged');
      expect((await verifyLayer(bytesSource(bytes))).errors).toBe(1);
    }
  });
});

describe('numbers beyond 2^53', () => {
  it('numbers beyond 2^53 are LSNs like any other', async () => {
    const lsns = [1n << 53n, (1n << 53n) + 1n, (1n << 63n) + 1n, MAXIMUM_LSN - 1n];
    const blobs = lsns.map(() =>
      shortBlob(Buffer.from('000000010000000300000000'.padEnd(32, '0'), 'hex')),
    );
    const keys = lsns.map((lsn) => deltaKey(blockKey(0), lsn));
    const values = offsetsOf(blobs).map((offset) => offset * 2);
    const lsnRange = { start: 1n, end: MAXIMUM_LSN };
    const bytes = layerBytes({
      kind: 'delta',
      blobs,
      blocks: [nodeBlock({ keys, values })],
      lsnRange,
    });
    await using reader = await openLayer(bytesSource(bytes));
    expect((await drain(reader.entries())).map(({ lsn }) => lsn)).toEqual(lsns);
    expect((await reader.get(blockKey(0), (1n << 53n) + 1n))?.lsn).toBe((1n << 53n) + 1n);
  });

  it('numbers beyond 2^53 in a document come back as they were', () => {
    const map = Buffer.from('81a161cffffffffffffffff1', 'hex');
    expect(decodeDocument(framed(map))).toMatchObject({ a: 0xffff_ffff_ffff_fff1n });
  });
});

describe('MessagePack', () => {
  it.each<[string, Buffer, StorageErrorCode]>([
    [
      'of array headers that claim 65,535 each',
      Buffer.from(`81a161${'dcffff'.repeat(2000)}`, 'hex'),
      'truncated',
    ],
    [
      'of map headers that claim 4 billion each',
      Buffer.from(`81a161${'dfffffffff'.repeat(2000)}`, 'hex'),
      'truncated',
    ],
    ['of arrays in arrays without end', Buffer.alloc(100_000, 0x91), 'too-large'],
    ['of maps in maps without end', Buffer.from('81a161'.repeat(50_000), 'hex'), 'too-large'],
    [
      'of a million values',
      Buffer.concat([Buffer.from('81a161dd000f4240', 'hex'), Buffer.alloc(1_000_000, 0xc0)]),
      'too-large',
    ],
    ['of a string of 4 GiB', Buffer.from('81a161dbffffffff', 'hex'), 'too-large'],
    ['of an extension of 4 GiB', Buffer.from('81a161c9ffffffff01', 'hex'), 'corrupt'],
  ])('MessagePack %s is refused before it is decoded', (_, map, code) => {
    const before = process.memoryUsage().arrayBuffers;
    expect(storageErrorThrownBy(() => decodeDocument(framed(map))).code).toBe(code);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * MIB);
  });
});

describe('keys of prototypes', () => {
  it('keys of prototypes are refused in MessagePack', () => {
    const map = Buffer.concat([
      Buffer.from([0x81, 0xa9]),
      Buffer.from('__proto__'),
      Buffer.from([0x81, 0xa1, 0x61, 1]),
    ]);
    expect(storageErrorThrownBy(() => decodeDocument(framed(map))).code).toBe('corrupt');
  });

  it('keys of prototypes are keys like any other in TOML', () => {
    const config = parseTenantConfig(
      '[tenant_config]\n__proto__ = { polluted = true }\nconstructor = 1\n',
    );
    expect(Object.keys(config.settings)).toEqual(['__proto__', 'constructor']);
    expect('polluted' in {}).toBe(false);
    expect(config.settings['toString']).toBeUndefined();
  });

  it('keys of prototypes answer for no field in JSON', () => {
    const json = JSON.parse(
      '{"__proto__":{"disk_consistent_lsn":"0/8","ancestor_lsn":"0/0","latest_gc_cutoff_lsn":"0/0","initdb_lsn":"0/0","pg_version":15}}',
    );
    expect(storageErrorThrownBy(() => timelineMetadataFromJson(json)).code).toBe('corrupt');
    expect(storageErrorThrownBy(() => timelineMetadataFromJson(Object.create(json))).code).toBe(
      'corrupt',
    );
  });
});

describe('tenant configuration', () => {
  it.each<[string, string]>([
    ['tables without end', '['.repeat(100_000)],
    ['arrays in arrays without end', `a = ${'['.repeat(100_000)}`],
    ['tables in tables without end', `a = ${'{a='.repeat(100_000)}`],
    ['a key of a hundred thousand parts', `${'a.'.repeat(100_000)}a = 1`],
    ['an integer of a thousand digits', `[tenant_config]\na = ${'9'.repeat(1000)}`],
    ['a control character', '[tenant_config]\na = "\u0000"'],
    ['both forms', '[tenant_config]\n[mode.Attached]\n'],
  ])('a tenant configuration with %s is refused', (_, text) => {
    expect(storageErrorThrownBy(() => parseTenantConfig(text)).code).toBe('corrupt');
  });
});

describe('names', () => {
  const KEYS = '000000067F00000005000040000000000000-000000067F00000005000040000000000150';

  it.each([
    `../${KEYS}__0000000001000000`,
    `/etc/${KEYS}__0000000001000000`,
    `${KEYS}__0000000001000000/x`,
    `${KEYS}__0000000001000000\0`,
    `${KEYS}__0000000001000000\n`,
    `${KEYS}__0000000001000000-v1-../../../`,
    `\u001b[2J${KEYS}__0000000001000000`,
    `${KEYS}__${'0'.repeat(240)}`,
    '..',
    '',
  ])('%j is not the name of a layer', (name) => {
    const { message } = storageErrorThrownBy(() => parseLayerName(name));
    expect(message).not.toMatch(/\p{C}/u);
  });

  it('names of a layer that is written lead nowhere else, and are canonical', async () => {
    const disk = memoryDisk();
    for (const wrong of ['../../x', 'a/b', '00000001\0', '0000000G']) {
      const options = deltaOptions(disk, { generation: wrong });
      expect((await storageErrorOf(DeltaLayerWriter.create(options))).code).toBe('invalid-input');
    }
    const name = parseLayerName(`${KEYS.toLowerCase()}__0000000001000000-v1-0000002a`);
    expect(formatLayerName(name)).toBe(`${KEYS}__0000000001000000-v1-0000002a`);
    const strange = parseLayerName(`${KEYS}__1000000-v1-\u001b[2J`);
    expect(formatLayerName(strange)).toBe(`${KEYS}__0000000001000000`);
    expect(disk.openFiles.openCount).toBe(0);
  });
});

describe('special files', () => {
  const readers: [string, (path: string) => Promise<unknown>][] = [
    ['openLayer', (path) => openLayer(path)],
    ['verifyLayer', (path) => verifyLayer(path)],
    ['readDocument', (path) => readDocument(path)],
    ['readTimelineMetadata', (path) => readTimelineMetadata(path)],
    ['readTenantConfig', (path) => readTenantConfig(path)],
  ];

  it('special files are refused by every reader, and sixteen of them do not block other reads', async () => {
    const directory = temporaryDirectory();
    const fifos = Array.from({ length: 16 }, (_, index) => join(directory, `fifo-${index}`));
    execFileSync('mkfifo', fifos);
    const regular = join(directory, 'regular');
    writeFileSync(regular, (await writeImages([{ key: blockKey(1), image: noise(9, 1) }])).bytes);
    symlinkSync(fifos[0] ?? '', join(directory, 'link'));
    const special = [...fifos, join(directory, 'link'), '/dev/zero', '/dev/null', directory];
    for (const [, read] of readers) {
      const errors = special.map((path) => storageErrorOf(read(path)));
      await using layer = await openLayer(regular);
      expect((await drain(layer.entries())).length).toBe(1);
      for (const error of await Promise.all(errors)) expect(error.code).toBe('io');
    }
  });

  it('a link to a file is read as the file, one to nowhere is not found', async () => {
    const directory = temporaryDirectory();
    writeFileSync(
      join(directory, 'layer'),
      (await writeImages([{ key: blockKey(1), image: noise(9, 1) }])).bytes,
    );
    symlinkSync('layer', join(directory, 'link'));
    symlinkSync('nowhere', join(directory, 'dangling'));
    symlinkSync('loop', join(directory, 'loop'));
    expect(await verifyLayer(join(directory, 'link'))).toMatchObject({ ok: true, entries: 1 });
    expect((await storageErrorOf(verifyLayer(join(directory, 'dangling')))).code).toBe('not-found');
    expect((await storageErrorOf(verifyLayer(join(directory, 'loop')))).code).toBe('io');
  });
});

describe('a file that changes while it is read', () => {
  async function opened() {
    const path = join(temporaryDirectory(), 'layer');
    // More than a scan has read or in flight when it returns the first entry.
    const images = Array.from({ length: 1000 }, (_, index) => ({
      key: blockKey(index),
      image: noise(8192, index),
    }));
    const { bytes } = await writeImages(images);
    writeFileSync(path, bytes);
    return { path, bytes };
  }

  it('a file that changes while it is read and shrinks is truncated, whichever way it is read', async () => {
    const { path, bytes } = await opened();
    await using reader = await openLayer(path, { blockCache: null });
    const entries = reader.entries();
    expect((await entries.next()).value?.offset).toBe(8192);
    truncateSync(path, 8192 * 3);
    expect((await storageErrorOf(drain(entries))).code).toBe('truncated');
    expect((await storageErrorOf(reader.get(blockKey(1)))).code).toBe('truncated');
    expect((await storageErrorOf(drain(reader.salvage()))).code).toBe('truncated');
    expect(await verifyLayer(path)).toMatchObject({ ok: false, bytes: 8192 * 3 });
    expect(bytes.length).toBeGreaterThan(8192 * 3);
  });

  it('a file that changes while it is read and is replaced is read through one descriptor, or not at all', async () => {
    const { path } = await opened();
    const openFiles = new OpenFiles({ capacity: 1 });
    await using reader = await openLayer(path, { openFiles, blockCache: null });
    const other = `${path}-other`;
    writeFileSync(other, (await writeImages([{ key: blockKey(1), image: noise(9, 9) }])).bytes);
    renameSync(other, path);
    expect((await reader.get(blockKey(1)))?.bytes).toEqual(noise(8192, 1));
    await using evicting = await openLayer(path, { openFiles, blockCache: null });
    expect((await evicting.get(blockKey(1)))?.bytes).toEqual(noise(9, 9));
    const { code, message } = await storageErrorOf(reader.get(blockKey(2)));
    expect([code, message]).toEqual(['io', expect.stringMatching(/replaced/)]);
  });
});

describe('the place of a temporary file', () => {
  it.each(['a symbolic link', 'a directory'])(
    'the place of a temporary file is taken by %s, which stays as it is',
    async (what) => {
      const directory = temporaryDirectory();
      const target = join(directory, 'metadata');
      const temporary = `${target}.___temp`;
      const victim = join(directory, 'victim');
      writeFileSync(victim, 'precious');
      if (what === 'a directory') mkdirSync(join(temporary, 'inner'), { recursive: true });
      else symlinkSync(victim, temporary);
      await overwriteFile(target, Buffer.from('new')).catch(asStorageError);
      expect(await removeLeftovers(directory)).toEqual([]);
      expect(execFileSync('cat', [victim]).toString()).toBe('precious');
    },
  );

  it('the place of a temporary file of a layer is created exclusively', async () => {
    const directory = temporaryDirectory();
    const options = { directory, ...IDS, keyRange: KEY_RANGE, lsnRange: LSN_RANGE };
    const victim = join(directory, 'victim');
    writeFileSync(victim, 'precious');
    const name = formatLayerName({ kind: 'delta', keyRange: KEY_RANGE, lsnRange: LSN_RANGE });
    symlinkSync(victim, join(directory, name));
    expect((await storageErrorOf(DeltaLayerWriter.create(options))).code).toBe('exists');
    rmSync(join(directory, name));
    await using writer = await DeltaLayerWriter.create(options);
    await writer.put(blockKey(1), LSN_RANGE.start, { type: 'image', bytes: noise(9, 1) });
    symlinkSync(victim, join(directory, name));
    expect((await storageErrorOf(writer.finish())).code).toBe('exists');
    expect(execFileSync('cat', [victim]).toString()).toBe('precious');
  });
});

/** Without holding them. */
async function drainCounting(entries: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of entries) count += 1;
  return count;
}
