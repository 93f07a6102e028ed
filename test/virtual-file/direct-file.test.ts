import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { FaultAction, FileSystemOperation } from '../../src/testing/faults.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import type { MemoryFileSystemOptions } from '../../src/testing/memory-options.ts';
import { alignedBytes, isAligned } from '../../src/virtual-file/aligned-memory.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { bytesOf } from '../support/blobs.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const PATH = '/file';
const KIB = 1024;

interface Direct {
  readonly file: VirtualFile;
  readonly fileSystem: MemoryFileSystem;
  readonly openFiles: OpenFiles;
  /** Transfers so far, as `write 0+4096 direct`. */
  readonly transfers: string[];
}

async function openDirect(
  options: MemoryFileSystemOptions = {},
  intercept: (operation: FileSystemOperation) => FaultAction | undefined = () => undefined,
): Promise<Direct> {
  const transfers: string[] = [];
  const fileSystem = new MemoryFileSystem({
    ...options,
    intercept: (operation) => {
      const { kind, offset, length, direct } = operation;
      if (kind === 'read' || kind === 'write') {
        transfers.push(`${kind} ${offset}+${length}${direct ? ' direct' : ''}`);
      }
      return intercept(operation);
    },
  });
  const openFiles = new OpenFiles({ fileSystem });
  const file = await VirtualFile.open(PATH, {
    read: true,
    write: true,
    createNew: true,
    ioMode: 'direct',
    openFiles,
  });
  return { file, fileSystem, openFiles, transfers };
}

/** A buffer of the file with content. */
function filled(file: VirtualFile, length: number, seed = 1): Uint8Array {
  const buffer = file.newBuffer(length);
  buffer.set(bytesOf(length, seed));
  return buffer;
}

function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  expect(Buffer.compare(actual, expected)).toBe(0);
}

describe('a transfer', () => {
  test('a transfer goes directly from and to a buffer of the file', async () => {
    const { file, fileSystem, transfers } = await openDirect();
    const source = filled(file, 64 * KIB);
    await file.writeAllAt(source, 8 * KIB);
    const target = file.newBuffer(64 * KIB);
    await file.readExactAt(target, 8 * KIB);
    expect(transfers).toEqual(['write 8192+65536 direct', 'read 8192+65536 direct']);
    expectSame(target, source);
    expectSame(fileSystem.contentOf(PATH).subarray(8 * KIB), source);
  });

  test.each([
    ['at an unaligned offset', 4095, 64 * KIB, 0],
    ['of less than an aligned length', 0, 4095, 0],
    ['from the middle of a buffer', 0, 60 * KIB, 1],
  ])('a transfer %s does not go directly', async (_, offset, length, start) => {
    const { file, fileSystem, transfers } = await openDirect();
    const source = filled(file, 64 * KIB).subarray(start, start + length);
    await file.writeAllAt(source, offset);
    expect(transfers).toEqual([`write ${offset}+${length}`]);
    expectSame(fileSystem.contentOf(PATH).subarray(offset), source);
  });

  test('a transfer from ordinary memory does not go directly', async () => {
    const { file, transfers } = await openDirect();
    await file.writeAllAt(new Uint8Array(64 * KIB), 0);
    await file.writeAllAt(Buffer.alloc(64 * KIB), 0);
    expect(transfers).toEqual(['write 0+65536', 'write 0+65536']);
  });

  test('a transfer of an unaligned length goes directly as far as it can', async () => {
    const { file, fileSystem, transfers } = await openDirect();
    const source = filled(file, 10_000);
    await file.writeAllAt(source, 4096);
    const target = file.newBuffer(10_000);
    expect(await file.readAt(target, 4096)).toBe(10_000);
    expect(transfers).toEqual([
      'write 4096+8192 direct',
      'write 12288+1808',
      'read 4096+8192 direct',
      'read 12288+1808',
    ]);
    expectSame(target, source);
    expect(fileSystem.contentOf(PATH).length).toBe(14_096);
  });

  test.each([1, 511, 4095, 4096, 4097, 9000])(
    'a transfer that is cut after %d bytes continues to the same bytes',
    async (limit) => {
      const { file, fileSystem } = await openDirect({}, ({ kind }) =>
        kind === 'write' || kind === 'read' ? { limit } : undefined,
      );
      const source = filled(file, limit === 1 ? 8192 : 64 * KIB);
      await file.writeAllAt(source, 4096);
      expectSame(fileSystem.contentOf(PATH).subarray(4096), source);
      const target = file.newBuffer(source.length + 4096);
      expect(await file.readAt(target, 4096)).toBe(source.length);
      expectSame(target.subarray(0, source.length), source);
    },
  );

  test.each(['EIO', 'ENOSPC'])(
    'a transfer that fails with %s reports it, and is not repeated',
    async (errno) => {
      const { file, transfers } = await openDirect({}, ({ kind, direct }) =>
        kind === 'write' && direct ? { fail: errno } : undefined,
      );
      const error = await storageErrorOf(file.writeAllAt(filled(file, 8192), 0));
      expect(error).toMatchObject({ code: 'io', errno, path: PATH });
      expect(transfers).toEqual(['write 0+8192 direct']);
    },
  );
});

describe('where the file system refuses', () => {
  test('where the file system refuses to open a file for direct transfers, all are ordinary', async () => {
    const { file, fileSystem, transfers } = await openDirect({
      directTransfers: 'refused-at-open',
    });
    await file.writeAllAt(filled(file, 8192), 0);
    expect(transfers).toEqual(['write 0+8192']);
    expect(fileSystem.openCount).toBe(1);
  });

  test('where the file system refuses the first direct transfer, that one is repeated, and later ones are ordinary', async () => {
    const { file, fileSystem, transfers } = await openDirect({
      directTransfers: 'refused-at-transfer',
    });
    const source = filled(file, 8192);
    await file.writeAllAt(source, 0);
    await file.writeAllAt(source, 8192);
    await file.readExactAt(file.newBuffer(8192), 0);
    expect(transfers).toEqual([
      'write 0+8192 direct',
      'write 0+8192',
      'write 8192+8192',
      'read 0+8192',
    ]);
    expectSame(fileSystem.contentOf(PATH), Buffer.concat([source, source]));
  });

  test.each(['EMFILE', 'EACCES', 'EINVAL'])(
    'a file whose direct open fails with %s is open all the same',
    async (fail) => {
      const { file, fileSystem, transfers } = await openDirect({}, ({ kind, direct }) =>
        kind === 'open' && direct ? { fail } : undefined,
      );
      await file.writeAllAt(filled(file, 8192), 0);
      expect(transfers).toEqual(['write 0+8192']);
      await file.close();
      expect(fileSystem.openCount).toBe(0);
    },
  );
});

test.each([
  ['open', 'EIO'],
  ['open', 'EROFS'],
])('the hook is told of an %s of the second descriptor with %s', async (kind, errno) => {
  const fatal: unknown[] = [];
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem, onFatalError: (error) => fatal.push(error) });
  fileSystem.intercept = (operation) =>
    operation.kind === kind && operation.direct ? { fail: errno } : undefined;
  const file = await VirtualFile.open(PATH, {
    write: true,
    createNew: true,
    ioMode: 'direct',
    openFiles,
  });
  expect(fatal).toMatchObject([{ code: 'io', errno, path: PATH }]);
  await file.close();
  expect(fileSystem.openCount).toBe(0);
});

describe('the two descriptors', () => {
  test('the two descriptors of a direct file are of one file: where the name has got another one, the second is closed', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/other', bytesOf(8192, 9));
    const openFiles = new OpenFiles({ fileSystem });
    fileSystem.intercept = ({ kind, direct }) => {
      if (kind !== 'open' || direct !== true) return undefined;
      fileSystem.intercept = undefined;
      return { delay: fileSystem.rename('/other', PATH) };
    };
    const file = await VirtualFile.open(PATH, {
      write: true,
      createNew: true,
      ioMode: 'direct',
      openFiles,
    });
    await file.writeAllAt(filled(file, 4096), 0);
    expect(fileSystem.openCount).toBe(1);
    expectSame(fileSystem.contentOf(PATH), bytesOf(8192, 9));
    await file.close();
  });

  test('the two descriptors of a direct file are closed both, even if one cannot be', async () => {
    for (const nth of [0, 1]) {
      let closes = 0;
      const { file, fileSystem } = await openDirect({}, ({ kind }) => {
        if (kind !== 'close') return undefined;
        closes += 1;
        return closes === nth + 1 ? { fail: 'EIO' } : undefined;
      });
      expect(await storageErrorOf(file.close())).toMatchObject({ code: 'io', errno: 'EIO' });
      expect(closes).toBe(2);
      expect(fileSystem.openCount).toBe(0);
    }
  });

  test('the two descriptors of a direct file are synced once, for both', async () => {
    let syncs = 0;
    const { file, fileSystem } = await openDirect({}, ({ kind }) => {
      if (kind === 'sync' || kind === 'sync-data') syncs += 1;
      return undefined;
    });
    await file.writeAllAt(filled(file, 8192), 0);
    await file.writeAllAt(bytesOf(100, 1), 8192);
    await file.sync();
    await fileSystem.syncDirectory('/');
    expect(syncs).toBe(1);
    expect(fileSystem.crash(() => 0).contentOf(PATH).length).toBe(8292);
  });

  test('the two descriptors of a direct file are opened again after an eviction', async () => {
    const fileSystem = new MemoryFileSystem();
    const openFiles = new OpenFiles({ fileSystem, capacity: 1 });
    const options = { read: true, write: true, create: true, openFiles } as const;
    const file = await VirtualFile.open(PATH, { ...options, ioMode: 'direct' });
    await file.writeAllAt(filled(file, 8192), 0);
    const other = await VirtualFile.open('/other', options);
    expect(fileSystem.openPaths).toEqual(['/other']);
    await file.writeAllAt(filled(file, 8192), 8192);
    expect(fileSystem.openPaths).toEqual([PATH, PATH]);
    await file.close();
    await other.close();
    expect(fileSystem.openCount).toBe(0);
  });
});

describe('aligned memory', () => {
  test('only memory from alignedBytes counts as aligned, and it begins on a page', () => {
    const bytes = alignedBytes(100_000);
    expectSame(bytes, new Uint8Array(100_000));
    expect(isAligned(bytes)).toBe(true);
    expect(isAligned(bytes.subarray(4096))).toBe(true);
    expect(isAligned(bytes.subarray(4095))).toBe(false);
    expect(isAligned(new Uint8Array(100_000))).toBe(false);
    expect(alignedBytes(0).length).toBe(0);
  });

  test('aligned memory is released once nothing refers to it', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const memories = Array.from({ length: 50 }, () => new WeakRef(alignedBytes(65_536).buffer));
    const countKept = (): number => {
      collect();
      return memories.filter((memory) => memory.deref() !== undefined).length;
    };
    await expect.poll(countKept).toBe(0);
  });
});

test('on the real disk, direct and ordinary transfers see what the others wrote', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'layerfile-direct-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'file');
  const file = await VirtualFile.open(path, {
    read: true,
    write: true,
    createNew: true,
    ioMode: 'direct',
  });
  const expected = Buffer.alloc(1024 * KIB);
  for (let round = 0; round < 64; round += 1) {
    const isLarge = round % 3 !== 0;
    const offset = isLarge ? ((round * 7) % 60) * 16 * KIB : (round * 15_731) % (900 * KIB);
    const bytes = isLarge ? filled(file, 64 * KIB, round) : bytesOf(5000, round);
    await file.writeAllAt(bytes, offset);
    expected.set(bytes, offset);
    const target = file.newBuffer(64 * KIB);
    const length = await file.readAt(target, ((round * 11) % 60) * 16 * KIB);
    const from = ((round * 11) % 60) * 16 * KIB;
    expect(Buffer.compare(target.subarray(0, length), expected.subarray(from, from + length))).toBe(
      0,
    );
  }
  const { size } = await file.stat();
  await file.sync();
  await file.close();
  expect(Buffer.compare(readFileSync(path), expected.subarray(0, size))).toBe(0);
});
