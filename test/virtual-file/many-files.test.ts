import * as fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { loseEverything, seededChoices } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import type { FileSystem } from '../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { CAN_LIST_DESCRIPTORS, openBelow } from '../support/open-descriptors.ts';
import { rounds } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const FILE_COUNT = rounds(2000);

test(`${FILE_COUNT} files over 64 descriptors: right bytes, at most 64 files and 2 directories open`, async () => {
  const fileCount = FILE_COUNT;
  const workerCount = 250;
  const directory = fs.realpathSync(temporaryDirectory());
  const most = { files: 0, directories: 0, table: 0, samples: 0 };
  let opens = 0;
  const fileSystem: FileSystem = {
    ...nodeFileSystem,
    open: async (path, options) => {
      const file = await nodeFileSystem.open(path, options);
      opens += 1;
      if (opens % 16 === 0) sample();
      return file;
    },
  };
  const openFiles = new OpenFiles({ capacity: 64, fileSystem });
  function sample(): void {
    most.samples += 1;
    most.table = Math.max(most.table, openFiles.openCount);
    if (!CAN_LIST_DESCRIPTORS) return;
    const open = openBelow(directory);
    const directories = open.filter((path) => path === directory).length;
    most.files = Math.max(most.files, open.length - directories);
    most.directories = Math.max(most.directories, directories);
  }

  const files: VirtualFile[] = new Array(fileCount);
  const versions = new Uint32Array(fileCount);
  const contentOf = (n: number): Uint8Array =>
    new TextEncoder().encode(`file ${n} version ${versions[n]}`.padEnd(40, '.'));
  const write = async (n: number): Promise<void> => {
    versions[n] = (versions[n] ?? 0) + 1;
    await files[n]?.writeAllAt(contentOf(n), (versions[n] ?? 0) % 7);
  };
  const check = async (n: number): Promise<void> => {
    const target = new Uint8Array(40);
    await files[n]?.readExactAt(target, (versions[n] ?? 0) % 7);
    if (Buffer.compare(target, contentOf(n)) === 0) return;
    expect(new TextDecoder().decode(target)).toBe(new TextDecoder().decode(contentOf(n)));
  };

  // Each worker has files of its own, so that it knows what they hold.
  const work = async (worker: number): Promise<void> => {
    const choose = seededChoices(worker);
    const own: number[] = [];
    for (let n = worker; n < fileCount; n += workerCount) own.push(n);
    for (const n of own) {
      files[n] = await VirtualFile.open(join(directory, String(n)), {
        read: true,
        write: true,
        createNew: true,
        openFiles,
        durability: n % 32 === 0 ? 'sync' : 'scratch',
      });
      await write(n);
    }
    for (let step = 0; step < 20; step += 1) {
      const n = own[choose(own.length)] ?? worker;
      const kind = choose(10);
      if (kind === 0 && step % 4 === 0) await openFiles.syncDirectory(directory);
      else if (kind < 4) await write(n);
      else await check(n);
    }
    for (const n of own) await check(n);
  };
  await Promise.all(Array.from({ length: workerCount }, (_, worker) => work(worker)));
  sample();
  expect(most.table).toBe(64);
  expect(most.samples).toBeGreaterThan(100);
  if (CAN_LIST_DESCRIPTORS) {
    expect(most.files).toBeGreaterThan(32);
    expect(most.files).toBeLessThanOrEqual(64);
    expect(most.directories).toBeLessThanOrEqual(2);
  }
  await Promise.all(files.map((file) => file.close()));
  expect(openFiles.openCount).toBe(0);
  if (CAN_LIST_DESCRIPTORS) {
    expect(openBelow(directory)).toEqual([]);
  }
});

const PATHS = ['/a', '/b', '/c', '/d'] as const;

const act = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    path: fc.constantFrom(...PATHS),
    offset: fc.nat(10_000),
    bytes: fc.uint8Array({ maxLength: 300 }),
  }),
  fc.record({
    kind: fc.constant('read' as const),
    path: fc.constantFrom(...PATHS),
    offset: fc.nat(12_000),
    length: fc.nat(600),
  }),
  fc.record({
    kind: fc.constant('set-length' as const),
    path: fc.constantFrom(...PATHS),
    length: fc.nat(11_000),
  }),
  fc.record({
    kind: fc.constantFrom('sync' as const, 'reopen' as const),
    path: fc.constantFrom(...PATHS),
  }),
);

test('any acts on few files over fewer descriptors leave what a map of bytes holds', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(act, { maxLength: 12 }), { maxLength: 5 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer(),
      async (rounds, capacity, seed) => {
        const choose = seededChoices(seed);
        const fileSystem = new MemoryFileSystem({
          intercept: ({ kind }) => {
            const delay = choose(2) === 0 ? undefined : new Promise(setImmediate);
            if (kind !== 'read' && kind !== 'write') return { delay };
            return { delay, limit: choose(3) === 0 ? 1 + choose(50) : undefined };
          },
        });
        const openFiles = new OpenFiles({ fileSystem, capacity });
        const model = new Map<string, Uint8Array>();
        const open = (path: string): Promise<VirtualFile> =>
          VirtualFile.open(path, { read: true, write: true, create: true, openFiles });
        const files = new Map<string, VirtualFile>();
        for (const path of PATHS) files.set(path, await open(path));

        const perform = async (one: (typeof rounds)[0][0]): Promise<void> => {
          const { path } = one;
          const file = files.get(path) ?? (await open(path));
          const before = model.get(path) ?? new Uint8Array(0);
          if (one.kind === 'write') {
            await file.writeAllAt(one.bytes, one.offset);
            const end = one.bytes.length === 0 ? 0 : one.offset + one.bytes.length;
            const after = resized(before, Math.max(before.length, end));
            if (one.bytes.length > 0) after.set(one.bytes, one.offset);
            model.set(path, after);
          } else if (one.kind === 'read') {
            const target = new Uint8Array(one.length);
            const length = await file.readAt(target, one.offset);
            const expected = before.subarray(one.offset, one.offset + one.length);
            expect([...target.subarray(0, length)]).toEqual([...expected]);
          } else if (one.kind === 'set-length') {
            await file.setLength(one.length);
            model.set(path, resized(before, one.length));
          } else if (one.kind === 'sync') {
            await file.sync();
          } else {
            await file.close();
            files.set(path, await open(path));
          }
        };
        // At once across the files, in order within each.
        for (const round of rounds) {
          await Promise.all(
            PATHS.map(async (path) => {
              for (const one of round) if (one.path === path) await perform(one);
            }),
          );
          expect(openFiles.openCount).toBeLessThanOrEqual(capacity);
        }
        await Promise.all([...files.values()].map((file) => file.sync()));
        await openFiles.syncDirectory('/');
        await Promise.all([...files.values()].map((file) => file.close()));
        expect(fileSystem.openCount).toBe(0);
        const after = fileSystem.crash(loseEverything);
        for (const path of PATHS) {
          expect([...after.contentOf(path)]).toEqual([...(model.get(path) ?? [])]);
        }
      },
    ),
    { numRuns: rounds(60) },
  );
});

function resized(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}
