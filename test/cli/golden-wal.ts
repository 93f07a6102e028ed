/**
 * The last segments of Postgres 15 from the golden WAL, over two timelines, and what pg_waldump 15 prints of them:
 *
 *   pg_waldump -p DIR -s 0/1600028 [...]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { GOLDEN_DIRECTORY } from '../support/golden.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const GOLDEN = join(GOLDEN_DIRECTORY, 'waldump');

/** In the order of the WAL. */
export const SEGMENTS = [
  '000000010000000000000016',
  '000000010000000000000017',
  '000000010000000000000018',
  '000000020000000000000018',
];

/** Start of the first record that begins in the first segment. */
export const FIRST_LSN = '0/1600028';

/** Decompressed once in a process. */
const segments = new Map<string, Buffer>();

/** A copy, that the caller may change. */
export function segmentBytes(name: string): Buffer {
  const bytes =
    segments.get(name) ?? brotliDecompressSync(readFileSync(join(GOLDEN, `${name}.br`)));
  segments.set(name, bytes);
  return Buffer.from(bytes);
}

/** The segments and the history, in a directory that is removed after the test. */
export function walDirectoryOfTest(names: readonly string[] = SEGMENTS): string {
  const directory = join(temporaryDirectory(), 'wal');
  mkdirSync(directory);
  for (const name of names) writeFileSync(join(directory, name), segmentBytes(name));
  writeFileSync(
    join(directory, '00000002.history'),
    readFileSync(join(GOLDEN, '00000002.history')),
  );
  return directory;
}

/** What pg_waldump prints. */
export function waldumpText(name: string): string {
  const path = join(GOLDEN, name);
  return path.endsWith('.br')
    ? brotliDecompressSync(readFileSync(path)).toString()
    : readFileSync(path, 'utf8');
}
