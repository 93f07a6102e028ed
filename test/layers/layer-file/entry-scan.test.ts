/** What a scan reads and when, and that nothing is in flight once it has ended. */
import { describe, expect, it } from 'vitest';
import { type ByteSource, bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { StorageError } from '../../../src/errors.ts';
import type { EntryOptions } from '../../../src/layers/layer-file/entry-options.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { gate, idle, isPending } from '../../support/gate.ts';
import { BLOCK } from '../../support/hand-made.ts';
import { blockKey, drain, IMAGE_LSN, KEY_RANGE, noise, writeImages } from '../../support/layers.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';

/** Values of three pieces of 1 MiB, and an index of one block. */
const { bytes: LAYER } = await writeImages(
  Array.from({ length: 380 }, (_, block) => ({ key: blockKey(block), image: noise(BLOCK, block) })),
);
const VALUES_END = LAYER.length - BLOCK;
const PIECE = 1024 * 1024;

interface WatchedSource extends ByteSource {
  /** Offsets of reads in the order in which they began. */
  readonly begun: number[];
  inFlight: number;
}

/** What reads of values, and of the index, wait for. */
interface Waits {
  readonly values?: () => Promise<void>;
  readonly index?: () => Promise<void>;
}

type Watched = Awaited<ReturnType<typeof watched>>;

/** Reads of values end a while after those of the index. */
async function watched(bytes: Uint8Array, { values, index }: Waits = {}) {
  const inner = bytesSource(bytes, 'name');
  const source: WatchedSource = {
    size: inner.size,
    path: inner.path,
    begun: [],
    inFlight: 0,
    read: async (target, offset) => {
      source.begun.push(offset);
      source.inFlight += 1;
      try {
        const isOfValues = offset >= BLOCK && offset < VALUES_END;
        if (isOfValues) await idle();
        if (offset > 0) await (isOfValues ? values : index)?.();
        return await inner.read(target, offset);
      } finally {
        source.inFlight -= 1;
      }
    },
  };
  const reader = await openLayer(source, { blockCache: null });
  source.begun.length = 0;
  return { source, reader };
}

const WAYS: readonly [
  string,
  (reader: Watched['reader'], options?: EntryOptions) => AsyncGenerator<unknown>,
][] = [
  ['entries', (reader, options) => reader.entries(options)],
  ['batches', (reader, options) => reader.batches(options)],
  ['salvage', (reader, options) => reader.salvage(options)],
];

describe.each(WAYS)('a scan by %s', (_, scan) => {
  it('a scan of all entries begins to read values before it knows the index', async () => {
    const { opened, open } = gate();
    const { source, reader } = await watched(LAYER, { index: () => opened });
    const items = scan(reader);
    const first = items.next();
    await idle();
    const begun = [...source.begun].sort((left, right) => left - right);
    expect(begun).toEqual([BLOCK, BLOCK + PIECE, VALUES_END]);
    open();
    await first;
    await items.return(undefined);
  });

  it.each<[string, EntryOptions]>([
    ['some keys', { keyRange: { start: blockKey(370), end: KEY_RANGE.end } }],
    ['some LSNs', { lsnRange: { start: IMAGE_LSN + 1n, end: IMAGE_LSN + 2n } }],
  ])('a scan of %s reads no values but those', async (_what, options) => {
    const { source, reader } = await watched(LAYER);
    await drain(scan(reader, options));
    expect(source.begun.filter((offset) => offset < BLOCK + 2 * PIECE)).toEqual([]);
  });

  it('a scan has nothing in flight once it was abandoned', async () => {
    const { source, reader } = await watched(LAYER);
    for await (const _item of scan(reader)) break;
    expect(source.inFlight).toBe(0);
  });

  it('a scan has nothing in flight once it was aborted', async () => {
    const { source, reader } = await watched(LAYER);
    const aborted = drain(scan(reader, { signal: AbortSignal.abort() }));
    expect((await storageErrorOf(aborted)).code).toBe('aborted');
    expect(source.inFlight).toBe(0);
  });

  it.each<[string, (opened: Promise<void>) => Waits]>([
    ['while values are read', (opened) => ({ values: () => opened })],
    [
      'after values could not be read',
      (opened) => ({
        values: async () => {
          throw new StorageError('io', { what: 'bad sector' });
        },
        index: () => opened,
      }),
    ],
  ])('a scan reports a root that is damaged, %s, with nothing in flight', async (_what, waits) => {
    const bytes = LAYER.slice();
    bytes.fill(0, -BLOCK);
    const { opened, open } = gate();
    const { source, reader } = await watched(bytes, waits(opened));
    const scanning = firstDamage(scan(reader));
    expect(await isPending(scanning)).toBe(true);
    open();
    expect(await scanning).toMatchObject({ code: 'corrupt', offset: VALUES_END });
    expect(source.inFlight).toBe(0);
  });
});

/** Salvaging gives it, where there is more to give, and goes on with the blobs; else it is thrown. */
async function firstDamage(items: AsyncIterable<unknown>): Promise<unknown> {
  try {
    for await (const item of items) {
      if (typeof item === 'object' && item !== null && 'error' in item) return item.error;
    }
  } catch (error) {
    return error;
  }
  return undefined;
}
