/**
 * Records of real servers against what a pageserver put for them: parts of the WAL of golden/timeline, one around the
 * first record of each kind and each combination of values. A line has the values that the part needs, the records
 * with their end LSNs, and the values that were put, as key, LSN, willInit, length and SHA-256; of a directory the
 * content, whose order is free.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { RecordIngest } from '../../../src/ingest/wal/record-ingest.ts';
import { parseLsn } from '../../../src/layers/lsn.ts';
import { GOLDEN_DIRECTORY } from '../../support/golden.ts';
import { directoryOf, IngestedValues, type PutValue } from '../../support/ingested-values.ts';

interface Part {
  readonly lsn: string;
  readonly base: readonly [key: string, base64: string | null][];
  readonly records: readonly [endLsn: string, base64: string][];
  readonly puts: readonly Put[];
}

type Put = readonly [key: string, lsn: string, willInit: boolean, length: number, content: string];

function partsOf(name: string): Part[] {
  const file = join(GOLDEN_DIRECTORY, 'ingest', `${name}.ndjson.br`);
  const lines = brotliDecompressSync(readFileSync(file)).toString().trim().split('\n');
  return lines.map((line) => JSON.parse(line));
}

const bytesOf = (base64: string): Uint8Array => Uint8Array.from(Buffer.from(base64, 'base64'));

const PARTS = (
  [
    ['pg17', 17],
    ['sk15', 15],
  ] as const
).flatMap(([name, majorVersion]) =>
  partsOf(name).map((part): [string, string, number, Part] => [name, part.lsn, majorVersion, part]),
);

test.each(PARTS)('each record of %s from %s gives the values of a pageserver', async (...args) => {
  const [, , majorVersion, part] = args;
  const values = new IngestedValues();
  for (const [key, base64] of part.base) if (base64 !== null) values.set(key, bytesOf(base64));
  const lsn = parseLsn(part.lsn);
  const ingest = await RecordIngest.open({ base: values, sink: values, lsn, majorVersion });
  for (const [endLsn, base64] of part.records) {
    await ingest.ingest(bytesOf(base64), parseLsn(endLsn));
  }
  expect(new Set(values.puts.map(lineOf))).toEqual(new Set(part.puts.map(lineOfGolden)));
  expect(values.puts).toHaveLength(part.puts.length);
});

function lineOf(put: PutValue): string {
  const { key, lsn, willInit, bytes } = put;
  const directory = directoryOf(key, bytes.subarray(12));
  const content = directory ?? createHash('sha256').update(bytes).digest('hex');
  return `${key} ${lsn.toString(16)} ${willInit} ${bytes.length} ${content}`;
}

function lineOfGolden([key, lsn, willInit, length, content]: Put): string {
  const directory = directoryOf(key, bytesOf(content));
  return `${key} ${lsn} ${willInit} ${length} ${directory ?? content}`;
}

test('the parts have every kind of value that a pageserver puts', () => {
  const kinds = new Set<string>();
  for (const [, , , part] of PARTS) for (const [key] of part.puts) kinds.add(key.slice(0, 2));
  expect([...kinds].sort()).toEqual(['00', '01', '02', '03', '62', '63']);
});
