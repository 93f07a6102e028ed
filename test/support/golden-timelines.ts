/** Timelines that a pageserver wrote, and what its reads of them found. */
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { GOLDEN_DIRECTORY } from './golden.ts';

/** By file, since most tests of a process ask for the same. */
const decompressed = new Map<string, Buffer>();

/**
 * Unpacks the remote storage of some timelines into a directory. A pack is brotli over: u32 length, JSON list of
 * `[path, size]`, the files in that order.
 */
export async function unpackTimelines(name: string, directory: string): Promise<void> {
  for (const [path, bytes] of filesOfPack(readCompressed(`${name}.pack.br`))) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), bytes);
  }
}

/** The files of a pack that was decompressed; views. */
export function filesOfPack(pack: Buffer): [path: string, bytes: Buffer][] {
  const headerEnd = 4 + pack.readUInt32BE();
  const files: [string, number][] = JSON.parse(pack.subarray(4, headerEnd).toString());
  let at = headerEnd;
  return files.map(([path, size]) => {
    at += size;
    return [path, pack.subarray(at - size, at)];
  });
}

/** The lines of a compressed file of JSON lines. */
export function readLines<T>(name: string): T[] {
  const lines = readCompressed(name).toString().trim().split('\n');
  return lines.map((line) => JSON.parse(line));
}

/** Not to be written to. */
function readCompressed(name: string): Buffer {
  const known = decompressed.get(name);
  if (known !== undefined) return known;
  const bytes = brotliDecompressSync(readFileSync(join(GOLDEN_DIRECTORY, 'timeline', name)));
  decompressed.set(name, bytes);
  return bytes;
}
