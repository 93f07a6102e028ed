import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../src/blob-writer/byte-source.ts';
import { checkManifest } from '../../src/manifest/check-manifest.ts';
import { mendFile } from '../../src/manifest/mend.ts';
import { makeManifest, readManifest, writeManifest } from '../../src/manifest/sidecar.ts';
import { DIRECTORY, memoryDisk, namesOn, noise } from '../support/layers.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const LENGTH = 5 * 8192 + 100;
const FILE = noise(LENGTH, 1);
const PATH = `${DIRECTORY}/file`;

function flipped(bytes: Uint8Array, ...bits: readonly (readonly [number, number])[]): Uint8Array {
  const changed = Uint8Array.from(bytes);
  for (const [offset, bit] of bits) changed[offset] = (changed[offset] ?? 0) ^ (1 << bit);
  return changed;
}

const manifestOf = (bytes: Uint8Array) => makeManifest(bytesSource(bytes, 'file'));

async function checked(bytes: Uint8Array, maximumFindings?: number) {
  return checkManifest(bytesSource(bytes, 'file'), await manifestOf(FILE), { maximumFindings });
}

describe('the manifest of a file', () => {
  test('the manifest of a file has its length, its blocks and its SHA-256, whatever its length', async () => {
    for (const length of [0, 1, 8191, 8192, 8193, 1024 * 1024 + 1, 3 * 1024 * 1024]) {
      const bytes = noise(length, length);
      const manifest = await manifestOf(bytes);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      expect(manifest).toMatchObject({ name: 'file', length, sha256 });
      expect(manifest.checksums.length).toBe(Math.ceil(length / 8192));
      const report = await checkManifest(bytesSource(bytes), manifest);
      expect(report).toEqual({
        ...{ path: 'file', ok: true, bytes: length, blocks: manifest.checksums.length },
        ...{ findings: [], errors: 0 },
      });
    }
  });

  test('the manifest of a file is stored in a new file, and read back', async () => {
    const { openFiles, fileSystem } = memoryDisk();
    fileSystem.createFile(PATH, FILE);
    const manifest = await makeManifest(PATH, { openFiles });
    await writeManifest(`${DIRECTORY}/m`, manifest, { openFiles });
    expect(await readManifest(`${DIRECTORY}/m`, { openFiles })).toEqual(manifest);
    const before = fileSystem.contentOf(`${DIRECTORY}/m`);
    const again = await storageErrorOf(writeManifest(`${DIRECTORY}/m`, manifest, { openFiles }));
    expect(again).toMatchObject({ code: 'exists', outcome: 'not-applied', path: `${DIRECTORY}/m` });
    expect(fileSystem.contentOf(`${DIRECTORY}/m`)).toEqual(before);
    expect(namesOn({ fileSystem, openFiles })).toEqual(['file', 'm']);
  });

  test('the manifest of a file needs a name for a source without one', async () => {
    const error = await storageErrorOf(makeManifest(bytesSource(FILE)));
    expect(error.code).toBe('invalid-input');
    expect((await makeManifest(bytesSource(FILE), { name: 'x' })).name).toBe('x');
  });
});

describe('a check', () => {
  test('a check names a flipped bit, in each block, and in the last one', async () => {
    const report = await checked(flipped(FILE, [3, 0], [8192, 7], [LENGTH - 1, 4]));
    expect(report).toMatchObject({ ok: false, errors: 3, blocks: 6 });
    expect(report.findings.map(({ offset, bit }) => [offset, bit])).toEqual([
      [3, { offset: 3, bit: 0 }],
      [8192, { offset: 8192, bit: 7 }],
      [LENGTH - 1, { offset: LENGTH - 1, bit: 4 }],
    ]);
    expect(report.findings[0]?.message).toBe(
      'bit 0 of the byte at offset 3 is flipped, in block 0',
    );
  });

  test('a check names the block in which several bits have changed, and no bit anywhere without a proof', async () => {
    const report = await checked(flipped(FILE, [3, 0], [9000, 1], [9001, 1]));
    expect(report.findings.map(({ code, offset, bit }) => [code, offset, bit])).toEqual([
      ['corrupt', 0, undefined],
      ['corrupt', 8192, undefined],
    ]);
    expect(report.findings[1]?.message).toMatch(
      /^block 1 at offset 8192: expected CRC-32C [0-9a-f]{8}, found [0-9a-f]{8}$/,
    );
  });

  test('a check says that a block has nothing but zeros', async () => {
    const report = await checked(Uint8Array.from(FILE).fill(0, 8192, 16_384));
    expect(report.findings[0]?.message).toContain(', and nothing but zeros');
  });

  test('a check compares what is left of a file that was cut', async () => {
    const cut = await checked(flipped(FILE, [2, 2]).subarray(0, 8192 * 2 + 5));
    expect(cut).toMatchObject({ ok: false, errors: 2, blocks: 2, bytes: 8192 * 2 + 5 });
    expect(cut.findings.map(({ code, offset }) => [code, offset])).toEqual([
      ['corrupt', 0],
      ['truncated', 8192 * 2 + 5],
    ]);
    const aligned = await checked(FILE.subarray(0, 8192));
    expect(aligned.findings.map(({ code }) => code)).toEqual(['truncated']);
  });

  test('a check finds bytes after the end', async () => {
    const longer = new Uint8Array(LENGTH + 9);
    longer.set(flipped(FILE, [7, 7]));
    const report = await checked(longer);
    expect(report.findings.map(({ code, offset, bit }) => [code, offset, bit])).toEqual([
      ['corrupt', 7, { offset: 7, bit: 7 }],
      ['corrupt', LENGTH, undefined],
    ]);
  });

  test('a check finds a SHA-256 that is not that of the blocks', async () => {
    const manifest = { ...(await manifestOf(FILE)), sha256: '00'.repeat(32) };
    const report = await checkManifest(bytesSource(FILE), manifest);
    expect(report.findings[0]?.message).toMatch(/^SHA-256 of the file: expected 0000/);
  });

  test('a check counts findings that it does not list', async () => {
    const report = await checked(flipped(FILE, [0, 0], [8192, 0], [16_384, 0]), 1);
    expect(report).toMatchObject({ errors: 3, findings: [{ bit: { offset: 0, bit: 0 } }] });
    expect((await checked(FILE.subarray(1), 0)).findings).toEqual([]);
  });

  test('a check finds any change of random bytes, and proves each single bit', async () => {
    const change = fc.record({ at: fc.nat(LENGTH - 1), by: fc.integer({ min: 1, max: 255 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const bytes = Uint8Array.from(FILE);
        for (const { at, by } of changes) bytes[at] = (FILE[at] ?? 0) ^ by;
        const report = await checked(bytes);
        const blocks = [...new Set(changes.map(({ at }) => Math.floor(at / 8192)))].sort();
        expect(report.errors).toBe(blocks.length);
        for (const { bit } of report.findings) {
          if (bit === undefined) continue;
          expect((bytes[bit.offset] ?? 0) ^ (1 << bit.bit)).toBe(FILE[bit.offset]);
        }
      }),
      { numRuns: Number(process.env['LAYERFILE_MANIFEST_RUNS'] ?? rounds(40)) },
    );
  });

  test('a check fails if the file cannot be read, which is not a finding', async () => {
    const source = {
      size: LENGTH,
      path: 'x',
      read: () => Promise.reject(new Error('broken disk')),
    };
    const error = await storageErrorOf(checkManifest(source, await manifestOf(FILE)));
    expect(error).toMatchObject({ code: 'io', path: 'x' });
  });
});

describe('a mended copy', () => {
  const target = `${DIRECTORY}/mended`;
  const mended = async (bytes: Uint8Array) => {
    const disk = memoryDisk();
    disk.fileSystem.createFile(PATH, bytes);
    const { openFiles } = disk;
    return { disk, run: mendFile(PATH, await manifestOf(FILE), target, { openFiles }) };
  };

  test('a mended copy has the bits as they were, and ends where the file did', async () => {
    const longer = new Uint8Array(LENGTH + 9);
    longer.set(flipped(FILE, [3, 0], [8192, 7]));
    const { disk, run } = await mended(longer);
    expect(await run).toEqual({
      path: target,
      size: LENGTH,
      bits: [
        { offset: 3, bit: 0 },
        { offset: 8192, bit: 7 },
      ],
    });
    expect(disk.fileSystem.contentOf(target)).toEqual(FILE);
    expect(disk.fileSystem.contentOf(PATH)).toEqual(longer);
  });

  test('a mended copy is not made of a file with more damage, or in the place of another one', async () => {
    for (const [bytes, code] of [
      [flipped(FILE, [3, 0], [3, 1]), 'corrupt'],
      [FILE.subarray(0, LENGTH - 1), 'truncated'],
    ] as const) {
      const { disk, run } = await mended(bytes);
      expect(await storageErrorOf(run)).toMatchObject({ code });
      expect(namesOn(disk)).toEqual(['file']);
    }
    const { disk, run } = await mended(flipped(FILE, [0, 0]));
    disk.fileSystem.createFile(target, Uint8Array.of(1));
    expect(await storageErrorOf(run)).toMatchObject({ code: 'exists', outcome: 'not-applied' });
    expect(disk.fileSystem.contentOf(target)).toEqual(Uint8Array.of(1));
    expect(namesOn(disk)).toEqual(['file', 'mended']);
  });

  test('a mended copy is not made if its SHA-256 would differ', async () => {
    const disk = memoryDisk();
    const manifest = { ...(await manifestOf(FILE)), sha256: '00'.repeat(32) };
    const run = mendFile(bytesSource(FILE, 'file'), manifest, target, {
      openFiles: disk.openFiles,
    });
    expect(await storageErrorOf(run)).toMatchObject({ code: 'corrupt', path: 'file' });
    expect(namesOn(disk)).toEqual([]);
  });
});
