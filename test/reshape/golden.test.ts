import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { parseKey } from '../../src/layers/key.ts';
import { formatLsn, parseLsn } from '../../src/layers/lsn.ts';
import { compactLevel0 } from '../../src/reshape/compact-level0.ts';
import { chooseLevel0 } from '../../src/reshape/level0.ts';
import { SplitDeltaWriter } from '../../src/reshape/split-delta-writer.ts';
import { SplitImageWriter } from '../../src/reshape/split-image-writer.ts';
import { LayerMap } from '../../src/timeline/layer-map/layer-map.ts';
import {
  type GoldenOutput,
  imageNames,
  lsnRangeOf,
  RESHAPE_IDS,
  reshapeCases,
  reshapeInputs,
  writeLevel0,
} from '../support/golden-reshape.ts';
import { DIRECTORY, type MemoryDisk, memoryDisk, namesOn } from '../support/layers.ts';

function outputOn({ fileSystem }: MemoryDisk, name: string): GoldenOutput {
  const bytes = fileSystem.contentOf(`${DIRECTORY}/${name}`);
  return { name, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

describe('a split delta writer', () => {
  test.each(reshapeCases('split-delta'))(
    'a split delta writer makes the layers of Neon: $case',
    async (golden) => {
      const disk = memoryDisk();
      const [start = '', end = ''] = golden.lsns ?? [];
      await using writer = new SplitDeltaWriter({
        ...{ directory: DIRECTORY, openFiles: disk.openFiles, ...RESHAPE_IDS },
        lsnRange: lsnRangeOf([start, end]),
        targetSize: golden.target,
      });
      for (const { key, lsn, value } of reshapeInputs(golden)) await writer.put(key, lsn, value);
      const layers = await writer.finish();
      expect(layers.map(({ name }) => outputOn(disk, name))).toEqual(golden.outputs);
    },
  );
});

describe('a split image writer', () => {
  test.each(reshapeCases('split-image'))(
    'a split image writer makes the layers of Neon: $case',
    async (golden) => {
      const disk = memoryDisk();
      const [start = '', end = ''] = golden.range ?? [];
      await using writer = new SplitImageWriter({
        ...{ directory: DIRECTORY, openFiles: disk.openFiles, ...RESHAPE_IDS },
        keyRange: { start: parseKey(start), end: parseKey(end) },
        lsn: parseLsn(golden.lsn ?? ''),
        targetSize: golden.target,
      });
      for (const { key, bytes } of reshapeInputs(golden)) await writer.put(key, bytes);
      const layers = await writer.finish();
      expect(layers.map(({ name }) => outputOn(disk, name))).toEqual(golden.outputs);
    },
  );
});

describe('a compaction of L0s', () => {
  test.each(reshapeCases('compact'))(
    'a compaction of L0s makes the layers of Neon: $case',
    async (golden) => {
      const disk = memoryDisk();
      const readers = await writeLevel0(golden, disk);
      const map = LayerMap.fromNames([...namesOn(disk), ...imageNames(golden)]);
      const chosen = chooseLevel0(map.layers());
      const left = (golden.l0 ?? []).slice(chosen.length);
      expect(left).toEqual(golden.l0_left);
      expect(chosen.map(({ lsnRange }) => formatLsn(lsnRange.end))).toEqual(
        (golden.l0 ?? []).slice(0, chosen.length).map(([, end]) => end),
      );
      const { layers } = await compactLevel0({
        ...{ directory: DIRECTORY, openFiles: disk.openFiles, ...RESHAPE_IDS },
        readers: readers.slice(0, chosen.length),
        map,
        lastRecordLsn: parseLsn(golden.last_record_lsn ?? ''),
        targetSize: golden.target,
      });
      const outputs = layers.map(({ name }) => outputOn(disk, name));
      expect(outputs).toEqual(golden.outputs);
    },
  );
});
