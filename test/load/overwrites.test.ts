/** One file, overwritten concurrently. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { noise } from '../support/layers.ts';
import { CAN_LIST_DESCRIPTORS, openBelow } from '../support/open-descriptors.ts';
import { rounds } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const OVERWRITES = rounds(1000);

/** Where there is one: it is not the device that is tried here. */
const MEMORY_DISK = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** The first four bytes say which one it is; lengths differ by up to 8 KiB. */
function contentOf(index: number): Uint8Array {
  const content = noise(4 + ((index * 7919) % 8192), index);
  new DataView(content.buffer).setUint32(0, index);
  return content;
}

function indexOf(content: Buffer): number {
  const index = content.readUInt32BE(0);
  expect(content.equals(contentOf(index))).toBe(true);
  return index;
}

test(`${OVERWRITES} concurrent overwrites of one file: readers see one of them, complete; the last one stays`, async () => {
  const directory = temporaryDirectory(MEMORY_DISK);
  const path = join(directory, 'file');
  const openFiles = new OpenFiles({ capacity: 8 });
  writeFileSync(path, contentOf(0));
  let pending = OVERWRITES;
  const overwrites = Array.from({ length: OVERWRITES }, async (_, index) => {
    await overwriteFile(path, contentOf(index), { openFiles });
    pending -= 1;
  });
  const seen: number[] = [];
  while (pending > 0) {
    await using file = await VirtualFile.open(path, { read: true, openFiles });
    seen.push(indexOf(Buffer.from(await file.readToEnd({ maximumLength: 10_000 }))));
  }
  await Promise.all(overwrites);
  expect(seen.length).toBeGreaterThan(OVERWRITES / 10);
  expect(seen).toEqual([...seen].sort((left, right) => left - right));
  expect(indexOf(readFileSync(path))).toBe(OVERWRITES - 1);
  expect(readdirSync(directory)).toEqual(['file']);
  expect(openFiles.openCount).toBe(0);
  if (CAN_LIST_DESCRIPTORS) expect(openBelow(directory)).toEqual([]);
});
