/** What Neon's own split writers and its compaction of L0s were given, and the files that they made. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { type Key, maximumKey, minimumKey, parseKey } from '../../src/layers/key.ts';
import { formatLayerName } from '../../src/layers/layer-name.ts';
import { type Lsn, type LsnRange, parseLsn } from '../../src/layers/lsn.ts';
import type { Value } from '../../src/layers/value-format.ts';
import { GOLDEN_DIRECTORY } from './golden.ts';
import { DIRECTORY, type MemoryDisk } from './layers.ts';

export const RESHAPE_IDS = {
  tenantId: '0f0e0d0c0b0a09080706050403020100',
  timelineId: '55555555555555555555555555555555',
};

export interface GoldenOutput {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

export interface ReshapeCase {
  readonly case: string;
  readonly kind: 'split-delta' | 'split-image' | 'compact';
  readonly input: string;
  readonly target: number;
  readonly lsns?: readonly [string, string];
  readonly lsn?: string;
  readonly range?: readonly [string, string];
  readonly l0?: readonly (readonly [string, string])[];
  readonly images?: string | null;
  readonly last_record_lsn?: string;
  readonly at_creation?: readonly string[];
  readonly l0_left?: readonly (readonly [string, string])[];
  readonly outputs: readonly GoldenOutput[];
}

export interface ReshapeInput {
  readonly key: Key;
  readonly lsn: Lsn;
  readonly kind: 'image' | 'init' | 'rec';
  readonly bytes: Uint8Array;
  readonly value: Value;
}

export function reshapeCases(kind: ReshapeCase['kind']): ReshapeCase[] {
  return lines<ReshapeCase>('cases.ndjson').filter((golden) => golden.kind === kind);
}

export function reshapeInputs({ input }: ReshapeCase): ReshapeInput[] {
  type Line = Record<'key' | 'lsn', string> &
    Pick<ReshapeInput, 'kind'> &
    Record<'len' | 'seed' | 'mask', number>;
  return lines<Line>(input).map(({ key, lsn, kind, ...content }) => {
    const bytes = contentOf(content);
    const willInit = kind === 'init';
    const value: Value =
      kind === 'image' ? { type: kind, bytes } : { type: 'wal', willInit, bytes };
    return { key: parseKey(key), lsn: parseLsn(lsn), kind, bytes, value };
  });
}

/** Names of the image layers that were there. */
export function imageNames({ images, at_creation: atCreation = [] }: ReshapeCase): string[] {
  if (images === null || images === undefined) return [...atCreation];
  const given = lines<{ readonly range: readonly [string, string]; readonly lsn: string }>(images);
  const names = given.map(({ range: [start, end], lsn }) =>
    formatLayerName({
      kind: 'image',
      keyRange: { start: parseKey(start), end: parseKey(end) },
      lsn: parseLsn(lsn),
    }),
  );
  return [...atCreation, ...names];
}

export function lsnRangeOf([start, end]: readonly [string, string]): LsnRange {
  return { start: parseLsn(start), end: parseLsn(end) };
}

/** Writes the L0s of a case, each with the inputs whose LSNs it has. */
export async function writeLevel0(
  golden: ReshapeCase,
  { openFiles }: MemoryDisk,
): Promise<DeltaLayerReader[]> {
  const inputs = reshapeInputs(golden);
  const readers: DeltaLayerReader[] = [];
  for (const lsns of golden.l0 ?? []) {
    const lsnRange = lsnRangeOf(lsns);
    const keyRange = { start: minimumKey(), end: maximumKey() };
    const options = { directory: DIRECTORY, openFiles, ...RESHAPE_IDS, keyRange, lsnRange };
    await using writer = await DeltaLayerWriter.create(options);
    for (const { key, lsn, value } of inputs) {
      if (lsn >= lsnRange.start && lsn < lsnRange.end) await writer.put(key, lsn, value);
    }
    const { path } = await writer.finish();
    readers.push(await DeltaLayerReader.open(path, { openFiles }));
  }
  return readers;
}

function lines<T>(file: string): T[] {
  const path = join(GOLDEN_DIRECTORY, 'reshape', `${file.replace('inputs/', '')}.br`);
  const text = brotliDecompressSync(readFileSync(path)).toString();
  return text
    .trimEnd()
    .split('\n')
    .map((line): T => JSON.parse(line));
}

/** Xorshift of 32 bits, a byte a step. */
function contentOf({ len, seed, mask }: Record<'len' | 'seed' | 'mask', number>): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: len }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & mask;
  });
}
