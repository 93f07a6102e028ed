import { statSync } from 'node:fs';
import { basename } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatKey } from '../../src/layers/key.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { encodeValue } from '../../src/layers/value-format.ts';
import type { LayerOutput } from '../../src/reshape/layer-output.ts';
import { writeShard } from '../../src/reshape/split-timeline.ts';
import type { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import type { IndexLayer } from '../../src/timeline/index-part/layer-entry.ts';
import { shardKeeps } from '../../src/timeline/shard-owner.ts';
import { blockKey, memoryDisk, namesOn } from '../support/layers.ts';
import { memoryTimeline } from '../support/memory-output.ts';
import {
  imageOf,
  lineOf,
  linesOf,
  type ModelEntry,
  modelEntries,
  modelValue,
  writeModelDelta,
  writeModelImages,
} from '../support/random-layers.ts';
import { rounds } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const LSNS = { min: 16, max: 39 };

/** Leaves layers where they are made. */
class DirectoryOutput implements LayerOutput {
  readonly stagingDirectory = temporaryDirectory();
  readonly layers = new Map<string, IndexLayer>();
  index: IndexPart | undefined;

  async putLayer({ path }: { readonly path: string }) {
    const fileSize = BigInt(statSync(path).size);
    this.layers.set(basename(path), { fileSize, generation: 2, shard: { number: 0, count: 0 } });
    return { path, state: 'written' as const };
  }

  async putIndex(index: IndexPart): Promise<string> {
    this.index = index;
    return 'index_part.json-00000002';
  }
}

/** What a delta layer has of an entry. */
function lineOfEntry(entry: ModelEntry): string {
  const value = modelValue(entry);
  const willInit = entry.kind !== 'rec';
  return lineOf(formatKey(blockKey(entry.block)), BigInt(entry.lsn), willInit, encodeValue(value));
}

test('shards have the entries that they keep of random layers, each of them once over all shards', async () => {
  const blocks = fc.uniqueArray(fc.nat(40), { maxLength: 20 });
  const cut = fc.record({
    count: fc.integer({ min: 2, max: 5 }),
    stripeSize: fc.integer({ min: 1, max: 6 }),
  });
  await fc.assert(
    fc.asyncProperty(modelEntries(LSNS), blocks, cut, async (entries, imageBlocks, sharding) => {
      const disk = memoryDisk();
      for (const start of [16, 24, 32]) {
        const own = entries.filter(({ lsn }) => lsn >= start && lsn < start + 8);
        const lsnRange = { start: BigInt(start), end: BigInt(start + 8) };
        if (own.length > 0) await writeModelDelta(disk, own, lsnRange);
      }
      const images = imageBlocks.sort((one, other) => one - other);
      if (images.length > 0) await writeModelImages(disk, images, 40n);
      const names = namesOn(disk);
      const all: string[] = [];
      for (let shardNumber = 0; shardNumber < sharding.count; shardNumber += 1) {
        await using timeline = memoryTimeline(disk, names, { lastLsn: 40n });
        const output = new DirectoryOutput();
        const { layers, droppedEntries } = await writeShard(timeline, {
          ...{ output, shardNumber, ...sharding },
        });
        expect([...(output.index?.fields.layers.keys() ?? [])]).toEqual([...output.layers.keys()]);
        const lines: string[] = [];
        for (const { path } of layers) {
          await using reader = await openLayer(path);
          lines.push(...(await linesOf(reader)));
        }
        const isKept = (block: number): boolean =>
          shardKeeps(blockKey(block), sharding, shardNumber);
        const kept = [
          ...entries.filter(({ block }) => isKept(block)).map(lineOfEntry),
          ...images
            .filter(isKept)
            .map((block) => lineOf(formatKey(blockKey(block)), 40n, true, imageOf(block))),
        ];
        expect(lines.sort()).toEqual(kept.sort());
        expect(droppedEntries).toBe(entries.length + images.length - kept.length);
        all.push(...lines);
      }
      expect(all).toHaveLength(entries.length + images.length);
    }),
    { numRuns: rounds(10) },
  );
});
