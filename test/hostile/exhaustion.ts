/**
 * Every change of a kind to a small file: of each byte to each other value, of its length, of one
 * and two bits. A part can be done alone, and a sample of all, so that the whole is a matter of time.
 */

import { StorageError } from '../../src/errors.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import {
  decodeTimelineMetadata,
  encodeTimelineMetadata,
} from '../../src/write-once/timeline-metadata.ts';
import { type SlowInput, slowest } from '../support/slowest.ts';
import { checkLayer, Inconsistent, type Verdict } from './oracle.ts';
import { exhaustiveSeed, type Seed } from './seeds.ts';

export type Change = 'bytes of delta' | 'bytes of image' | 'lengths' | 'metadata';

export const CHANGES: readonly Change[] = [
  'bytes of delta',
  'bytes of image',
  'lengths',
  'metadata',
];

export interface Part {
  readonly change: Change;
  /** This part of N. */
  readonly part: number;
  readonly parts: number;
  /** One in N changes is done, chosen by the seed; 1 for all. */
  readonly oneOf: number;
  readonly seed: number;
}

export interface Exhausted {
  /** Changes that were done. */
  executions: number;
  readonly verdicts: Record<string, number>;
  readonly codes: Record<string, number>;
  readonly failures: { readonly change: string; readonly error: string }[];
  /** Changes that took more than 50 ms each time. */
  slow: readonly SlowInput<string>[];
  slowestMs: number;
}

const MAXIMUM_MS = 50;

/** In a sample, since most of a small file is padding. */
const PADDING_IS_RARER = 50;

const MAXIMUM_FAILURES = 20;

export async function exhaust(part: Part): Promise<Exhausted> {
  switch (part.change) {
    case 'bytes of delta':
      return await everyByte(await exhaustiveSeed('delta'), part);
    case 'bytes of image':
      return await everyByte(await exhaustiveSeed('image'), part);
    case 'lengths':
      return await everyLength(part);
    case 'metadata':
      return await everyTwoBits(part);
  }
}

/** What is after the values and the entries is padding: the reader must not care. */
async function everyByte(seed: Seed, part: Part): Promise<Exhausted> {
  const run = new Run(part);
  const bytes = Buffer.from(seed.bytes);
  const valid = await checkLayer(bytes);
  const isUsed = usedBytes(bytes, seed);
  for (let at = part.part; at < bytes.length; at += part.parts) {
    const original = bytes.readUInt8(at);
    const used = isUsed(at);
    for (let value = 0; value < 256; value += 1) {
      if (value === original || !run.isChosen(used ? 1 : PADDING_IS_RARER)) continue;
      bytes[at] = value;
      await run.do(`byte ${at} = ${value}`, async () => {
        const { verdict, code, entryCount } = await checkLayer(bytes, used ? 'full' : 'quick');
        if (!used && (verdict !== 'valid' || entryCount !== valid.entryCount)) {
          throw new Inconsistent('padding does not matter');
        }
        return { verdict, code };
      });
    }
    bytes[at] = original;
  }
  return run.result;
}

function usedBytes(bytes: Buffer, { kind, indexStartBlock }: Seed): (at: number) => boolean {
  const valuesEnd =
    bytes.subarray(0, indexStartBlock * 8192).findLastIndex((byte) => byte !== 0) + 1;
  return (at) => {
    if (at < 8192) return at < (kind === 'delta' ? 96 : 88);
    if (at < indexStartBlock * 8192) return at <= valuesEnd;
    const node = at - (at % 8192);
    const [count, prefix, suffix] = [
      bytes.readUInt16BE(node),
      bytes[node + 3] ?? 0,
      bytes[node + 4] ?? 0,
    ];
    // The header may be what is changed just now.
    return at - node < 5 + prefix + count * (suffix + 5) || at - node < 512;
  };
}

async function everyLength(part: Part): Promise<Exhausted> {
  const run = new Run(part);
  for (const kind of ['delta', 'image'] as const) {
    const { bytes } = await exhaustiveSeed(kind);
    for (let length = part.part; length < bytes.length; length += part.parts) {
      if (!run.isChosen()) continue;
      await run.do(`${kind} of ${length} bytes`, async () => {
        const { verdict, code } = await checkLayer(bytes.subarray(0, length));
        if (verdict === 'valid')
          throw new Inconsistent('a part of a file is not read as a whole one');
        return { verdict, code };
      });
    }
  }
  return run.result;
}

/** The checksum, the version and the padding together leave no two bits unnoticed. */
async function everyTwoBits(part: Part): Promise<Exhausted> {
  const run = new Run(part);
  const bytes = encodeTimelineMetadata({
    diskConsistentLsn: 0x1_0000_1000n,
    prevRecordLsn: 0xff8n,
    ancestorTimeline: '11223344556677889900aabbccddeeff',
    ancestorLsn: 0x100n,
    latestGcCutoffLsn: 0x200n,
    initdbLsn: 0x300n,
    pgVersion: 15,
  });
  const flip = (bit: number) => {
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  };
  const bits = bytes.length * 8;
  for (let first = part.part; first < bits; first += part.parts) {
    flip(first);
    for (let second = first; second < bits; second += 1) {
      if (!run.isChosen()) continue;
      if (second !== first) flip(second);
      await run.do(`bits ${first} and ${second}`, () => refused(bytes));
      if (second !== first) flip(second);
    }
    flip(first);
  }
  return run.result;
}

function refused(bytes: Uint8Array): { verdict: Verdict; code: string } {
  try {
    decodeTimelineMetadata(bytes);
  } catch (error) {
    if (error instanceof StorageError) return { verdict: 'refused', code: error.code };
    throw error;
  }
  throw new Inconsistent('damaged metadata is refused');
}

class Run {
  readonly #choose: (n: number) => number;
  readonly #oneOf: number;
  readonly #times = slowest<string>(MAXIMUM_MS);
  readonly result: Exhausted = {
    executions: 0,
    verdicts: {},
    codes: {},
    failures: [],
    slow: this.#times.slow,
    slowestMs: 0,
  };

  constructor({ oneOf, seed, part }: Part) {
    this.#choose = seededChoices(seed + part);
    this.#oneOf = oneOf;
  }

  isChosen(rarer = 1): boolean {
    return this.#oneOf === 1 || this.#choose(this.#oneOf * rarer) === 0;
  }

  async do(
    change: string,
    action: () =>
      | Promise<{ verdict: Verdict; code: string | undefined }>
      | { verdict: Verdict; code: string },
  ): Promise<void> {
    const { result } = this;
    if (result.failures.length >= MAXIMUM_FAILURES) return;
    result.executions += 1;
    try {
      const { verdict, code } = await this.#times.measure(change, async () => action());
      result.verdicts[verdict] = (result.verdicts[verdict] ?? 0) + 1;
      if (code !== undefined) result.codes[code] = (result.codes[code] ?? 0) + 1;
    } catch (error) {
      const text = error instanceof Error ? String(error.stack) : String(error);
      result.failures.push({ change, error: text });
    }
    result.slowestMs = this.#times.slowestMs;
  }
}
