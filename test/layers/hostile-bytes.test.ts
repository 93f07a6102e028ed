/**
 * Layers with one byte changed, or cut short: every read of them ends soon, throws nothing but
 * StorageErrors, and agrees with every other. LAYERFILE_EXHAUSTIVE=1 takes every byte and length.
 */
import { describe, expect, it } from 'vitest';
import type { Value } from '../../src/layers/value-format.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import { blockKey, LSN_RANGE, noise, writeDelta, writeImages } from '../support/layers.ts';
import { HAS_ALL_ROUNDS, rounds } from '../support/rounds.ts';
import { slowest } from '../support/slowest.ts';
import { type Reads, readEveryWay } from '../support/valid-reads.ts';

const EXHAUSTIVE = process.env['LAYERFILE_EXHAUSTIVE'] === '1';
const SEED = Number(process.env['LAYERFILE_SEED'] ?? 1);

/** Of the process, not of the clock: others may be at work on the machine. */
const MAXIMUM_CPU_MS = 50;

const PROBES = [blockKey(0), blockKey(4), blockKey(5), blockKey(0xf_0000)];

const VALUES: readonly Value[] = [
  { type: 'image', bytes: noise(300, 1) },
  { type: 'wal', willInit: true, bytes: noise(40, 2) },
  { type: 'wal', willInit: false, bytes: noise(200, 3) },
  { type: 'clear_vm', newHeapBlock: 5, oldHeapBlock: null, flags: 3 },
  { type: 'clog_set_committed', xids: [1, 2, 3], timestamp: 5n },
  { type: 'clog_set_aborted', xids: [] },
  { type: 'multixact_offset_create', multixactId: 1, multixactOffset: 2 },
  { type: 'multixact_members_create', multixactOffset: 1, members: [{ xid: 1, status: 2 }] },
  { type: 'aux_file', path: 'pg_logical/x', content: noise(30, 4) },
  { type: 'truncate_vm', truncByte: 1n, truncOffset: 2n },
];

interface Layer {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Bytes from the start of the file, end exclusive: what is not padding. */
  readonly used: readonly { readonly part: Part; readonly start: number; readonly end: number }[];
  readonly samples: number;
}

type Part = 'summary' | 'values' | 'index' | 'padding';

const LAYERS: readonly Layer[] = [
  await layerOf('a delta layer', 350, () =>
    writeDelta(
      Array.from({ length: 24 }, (_, index) => ({
        key: blockKey(2 * Math.floor(index / 3)),
        lsn: LSN_RANGE.start + BigInt(index % 3),
        value: VALUES[index % VALUES.length] ?? { type: 'image', bytes: noise(1, 1) },
      })),
    ),
  ),
  await layerOf('a delta layer of two levels', 120, () =>
    writeDelta(
      Array.from({ length: 420 }, (_, index) => ({
        key: blockKey(index * 0x101),
        lsn: LSN_RANGE.start + BigInt((index * 7) % 4000),
        value: { type: 'wal', willInit: index % 2 === 0, bytes: noise(20, index) },
      })),
    ),
  ),
  await layerOf('a compressed image layer', 350, () =>
    writeImages(
      Array.from({ length: 16 }, (_, block) => ({
        key: blockKey(block * 2),
        image: block % 4 === 0 ? noise(100, block) : noise(8192, block).fill(block, 200),
      })),
      { compression: { kind: 'zstd', level: 1 } },
    ),
  ),
  await layerOf('a plain image layer', 200, () =>
    writeImages(
      Array.from({ length: 30 }, (_, block) => ({
        key: blockKey(block * 2),
        image: noise(50 + block * 20, block),
      })),
    ),
  ),
];

describe.each(LAYERS)('$name', (layer) => {
  it('an unchanged layer has no errors', async () => {
    const { error, damage, report } = await readEveryWay(layer.bytes, PROBES);
    expect([error, damage, report.findings]).toEqual([undefined, [], []]);
  });

  it('a layer with one byte changed is read consistently or refused, within 50 ms', {
    timeout: 3_600_000,
  }, async () => {
    const valid = await readEveryWay(layer.bytes, PROBES);
    for (const { at, byte, part } of changes(layer)) {
      const bytes = layer.bytes.slice();
      bytes[at] = byte;
      const reads = await timed(bytes, `byte ${at} (${part}) is 0x${byte.toString(16)}`);
      // The length or start of a blob may be doubted together with the next one's, no more.
      if (part === 'values') expect(lost(valid, reads)).toBeLessThanOrEqual(2);
      if (part === 'padding') expect(lost(valid, reads)).toBe(0);
    }
  });

  it('a layer that is cut short is refused as truncated, within 50 ms', {
    timeout: 3_600_000,
  }, async () => {
    for (const length of lengths(layer)) {
      const { error, strict } = await timed(
        layer.bytes.subarray(0, length),
        `cut to ${length} bytes`,
      );
      expect(error?.code).toBe('truncated');
      expect(strict).toEqual([]);
    }
  });

  it('a layer followed by more bytes is read as before, with a warning', async () => {
    const valid = await readEveryWay(layer.bytes, PROBES);
    for (const length of [1, 100, 8192, 20_000]) {
      const longer = Buffer.concat([layer.bytes, noise(length, length)]);
      const reads = await readEveryWay(longer, PROBES);
      expect(reads.strict).toEqual(valid.strict);
      expect(reads.report).toMatchObject({ ok: true, warnings: 1 });
    }
  });
});

/** Reads, and fails if that takes long each time. */
async function timed(bytes: Uint8Array, what: string): Promise<Reads> {
  const times = slowest<string>(MAXIMUM_CPU_MS);
  try {
    const reads = await times.measure(what, () => readEveryWay(bytes, PROBES));
    expect(times.slow).toEqual([]);
    return reads;
  } catch (cause) {
    throw new Error(what, { cause });
  }
}

function lost(valid: Reads, reads: Reads): number {
  const salvaged = new Set(reads.salvaged.map(nameOf));
  return valid.strict.filter((item) => !salvaged.has(nameOf(item))).length;
}

/** Key and LSN of an entry as `readEveryWay` describes it. */
function nameOf(item: string): string {
  return item.slice(0, item.indexOf(' '));
}

interface Change {
  readonly at: number;
  readonly byte: number;
  readonly part: Part;
}

function* changes(layer: Layer): Generator<Change> {
  const { bytes, samples } = layer;
  const choose = seededChoices(SEED);
  const changed = (at: number, how: number): number => {
    const byte = bytes[at] ?? 0;
    return [byte ^ (1 << choose(8)), 0x00, 0xff, choose(256)][how] ?? byte;
  };
  if (EXHAUSTIVE) {
    for (let at = 0; at < bytes.length; at += 1) {
      for (let how = 0; how < 4; how += 1)
        yield { at, byte: changed(at, how), part: partOf(layer, at) };
    }
    return;
  }
  for (let sample = 0; sample < rounds(samples); sample += 1) {
    const used = layer.used[choose(layer.used.length)] ?? { start: 0, end: bytes.length };
    const at = used.start + choose(used.end - used.start);
    yield { at, byte: changed(at, choose(4)), part: partOf(layer, at) };
  }
}

function* lengths({ bytes }: Layer): Generator<number> {
  const choose = seededChoices(SEED);
  const step = EXHAUSTIVE ? 1 : HAS_ALL_ROUNDS ? 400 : 1600;
  for (let length = 0; length < bytes.length; length += EXHAUSTIVE ? 1 : 1 + choose(step)) {
    yield length;
  }
}

function partOf({ used }: Layer, at: number): Part {
  return used.find(({ start, end }) => at >= start && at < end)?.part ?? 'padding';
}

async function layerOf(
  name: string,
  samples: number,
  write: () => ReturnType<typeof writeDelta>,
): Promise<Layer> {
  const { bytes, finished } = await write();
  const indexStart = finished.indexStartBlock * 8192;
  const isDelta = finished.name.split('__')[1]?.includes('-') ?? false;
  const valuesEnd = bytes.subarray(0, indexStart).findLastIndex((byte) => byte !== 0) + 1;
  const blocks = Array.from({ length: finished.indexRootBlock + 1 }, (_, block) => {
    const start = indexStart + block * 8192;
    const end = bytes.subarray(start, start + 8192).findLastIndex((byte) => byte !== 0) + 1;
    return { part: 'index', start, end: start + end } as const;
  });
  const used = [
    { part: 'summary', start: 0, end: isDelta ? 96 : 88 } as const,
    { part: 'values', start: 8192, end: valuesEnd } as const,
    ...blocks,
  ];
  return { name, bytes, used, samples };
}
