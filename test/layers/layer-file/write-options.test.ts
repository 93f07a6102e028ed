/** Options of writers from callers without a type checker: typed errors, and nothing is left. */
import { describe, expect, it } from 'vitest';
import { isStorageError } from '../../../src/errors.ts';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import {
  blockKey,
  DIRECTORY,
  deltaOptions,
  IDS,
  imageOptions,
  type MemoryDisk,
  memoryDisk,
} from '../../support/layers.ts';
import { storageErrorThrownBy } from '../../support/storage-errors.ts';

const WRONG: readonly [string, unknown][] = [
  ['NaN', Number.NaN],
  ['a fraction', 1.5],
  ['a negative number', -1],
  ['a number of eight digits', 12345678],
  ['a bigint below all', -1n],
  ['an empty text', ''],
  ['null', null],
  ['an object', {}],
  ['an array', [1]],
];

/** Options, and what of the above they can be. */
const COMMON: Record<string, readonly string[]> = {
  bufferSize: ['a number of eight digits'],
  ioMode: [],
  tenantId: [],
  timelineId: [],
  directory: ['an empty text'],
  signal: [],
};
const OF_LAYERS = {
  ...COMMON,
  syncEvery: ['a number of eight digits'],
  indexMemoryLimit: ['a number of eight digits'],
  generation: [],
};

type Create = (disk: MemoryDisk, options: Record<string, unknown>) => Promise<unknown>;

const KINDS: readonly [string, Create, Record<string, readonly string[]>][] = [
  [
    'a delta layer',
    (disk, options) => DeltaLayerWriter.create({ ...deltaOptions(disk), ...options }),
    { ...OF_LAYERS, keyRange: [], lsnRange: [] },
  ],
  [
    'an image layer',
    (disk, options) => ImageLayerWriter.create({ ...imageOptions(disk), ...options }),
    { ...OF_LAYERS, keyRange: [], lsn: [], compression: [] },
  ],
  [
    'an ephemeral layer',
    ({ openFiles }, options) =>
      EphemeralLayer.create({
        ...{ directory: DIRECTORY, ...IDS, startLsn: 0x1000n, openFiles },
        ...options,
      }),
    { ...COMMON, startLsn: [] },
  ],
];

describe.each(KINDS)('%s', (kind, create, options) => {
  it.each(Object.entries(options))(
    `${kind} is refused where its %s is of no use`,
    async (name, fine) => {
      for (const [what, value] of WRONG) {
        if (fine.includes(what)) continue;
        const disk = memoryDisk();
        const error = await create(disk, { [name]: value }).then(
          () => 'no error',
          (thrown: unknown) => thrown,
        );
        const isTyped = isStorageError(error, 'invalid-input', 'out-of-range');
        expect(isTyped, `${name}: ${what}: ${error}`).toBe(true);
        expect(disk.fileSystem.paths()).toEqual([]);
        expect(disk.fileSystem.openCount).toBe(0);
      }
    },
  );
});

it.each([5000, Number.NaN, '5000', null, undefined])(
  'an LSN that is %j is refused by an ephemeral layer, which takes nothing of its value',
  async (lsn) => {
    const { openFiles } = memoryDisk();
    await using layer = await EphemeralLayer.create({
      ...{ directory: DIRECTORY, ...IDS, startLsn: 0x1000n, openFiles },
    });
    const put = () =>
      layer.putSerialized(blockKey(1), lsn as unknown as bigint, Uint8Array.of(1), true);
    expect(storageErrorThrownBy(put).code).toBe('out-of-range');
    expect(layer.size).toBe(0);
    expect(layer.entryCount).toBe(0);
  },
);
