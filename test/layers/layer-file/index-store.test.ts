import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { maximumKey, minimumKey } from '../../../src/layers/key.ts';
import { IndexStore } from '../../../src/layers/layer-file/index-store.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { BLOCK_SIZE } from '../../../src/virtual-file/block.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../../../src/virtual-file/temporary-file.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

/** Keys with a common prefix of three bytes at most: up to 292 entries a block, 64 blocks a chunk. */
const ENTRY_COUNT = 292 * 64 * 4 + 1000;

describe('an index that does not stay in memory', () => {
  it('an index that does not stay in memory gives the same file as one that does, and its scratch file is gone', async () => {
    const directories = [temporaryDirectory(), temporaryDirectory()];
    const sums = [];
    for (const [round, directory] of directories.entries()) {
      const writer = await createWriter(directory, round === 0 ? undefined : 1);
      let sawScratch = false;
      for (let index = 0; index < ENTRY_COUNT; index += 1) {
        await writer.put(keyOf(index), 1n, { type: 'image', bytes: Uint8Array.of(index & 0xff) });
        sawScratch ||=
          index % 20_000 === 0 && readdirSync(directory).some((name) => name.includes('-index.'));
      }
      const { path, name } = await writer.finish();
      expect(sawScratch).toBe(round === 1);
      expect(readdirSync(directory)).toEqual([name]);
      expect(await verifyLayer(path)).toMatchObject({ findings: [], entries: ENTRY_COUNT });
      sums.push(createHash('sha256').update(readFileSync(path)).digest('hex'));
    }
    expect(sums[0]).toBe(sums[1]);
  });

  it('an index that does not stay in memory leaves no file when the scratch file cannot be written', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createDirectory('/layers');
    fileSystem.intercept = ({ kind, path }) =>
      kind === 'write' && path.includes('-index.') ? { fail: 'ENOSPC' } : undefined;
    const openFiles = new OpenFiles({ fileSystem });
    const writer = await createWriter('/layers', 1, openFiles);
    const put = async () => {
      for (let index = 0; index < ENTRY_COUNT; index += 1) {
        await writer.put(keyOf(index), 1n, { type: 'image', bytes: Uint8Array.of(index & 0xff) });
      }
      await writer.finish();
    };
    await expect(put()).rejects.toMatchObject({ code: 'io', errno: 'ENOSPC' });
    await writer.abandon();
    expect(fileSystem.paths().filter((path) => path !== '/' && path !== '/layers')).toEqual([]);
    expect(fileSystem.openCount).toBe(0);
  });

  it('an index that does not stay in memory takes no more memory the more blocks there are', async () => {
    const path = join(temporaryDirectory(), 'scratch');
    const createScratch = () => TemporaryFile.create(path, { durability: 'scratch' });
    const store = new IndexStore({ createScratch, memoryLimit: MIB });
    const block = new Uint8Array(BLOCK_SIZE);
    const { arrayBuffers: before } = process.memoryUsage();
    for (let added = 0; added < 64 * MIB; added += BLOCK_SIZE) {
      block.fill(store.blockCount);
      store.add(block);
      await store.room;
      if (store.blockCount % 16 > 0) continue;
      // What stays, what waits, what was spilled, and two write buffers.
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * MIB);
    }
    let number = 0;
    for await (const chunk of store.chunks()) {
      for (let at = 0; at < chunk.length; at += BLOCK_SIZE, number += 1) {
        block.fill(number);
        expect(Buffer.compare(chunk.subarray(at, at + BLOCK_SIZE), block)).toBe(0);
      }
    }
    expect(number).toBe(store.blockCount);
    await store.close();
  });
});

const MIB = 1024 * 1024;

function createWriter(directory: string, indexMemoryLimit?: number, openFiles?: OpenFiles) {
  return DeltaLayerWriter.create({
    directory,
    tenantId: '00'.repeat(16),
    timelineId: '00'.repeat(16),
    keyRange: { start: minimumKey(), end: maximumKey() },
    lsnRange: { start: 1n, end: 2n },
    indexMemoryLimit,
    openFiles,
  });
}

/** Ascending, with a first byte that changes as often as it can in keys that a pageserver holds. */
function keyOf(index: number): Uint8Array {
  const key = new Uint8Array(18);
  const view = new DataView(key.buffer);
  const place = Math.floor((index / ENTRY_COUNT) * 0x80_0000);
  view.setUint8(0, place >>> 16);
  view.setUint16(3, place & 0xffff);
  view.setUint32(14, (index * 2654435761) % 0x1_0000_0000);
  return key;
}
