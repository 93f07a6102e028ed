import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../src/blob-writer/byte-source.ts';
import { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import type { ReadOptions } from '../../src/layers/layer-file/open-file.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { DIRECTORY, diskWith, drain } from '../support/layers.ts';
import { COUNT, DELTA, IMAGES } from '../support/sample-layers.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

describe('opening', () => {
  it('opening a layer distinguishes the kinds', async () => {
    expect((await openLayer(bytesSource(DELTA.bytes))).summary.kind).toBe('delta');
    expect((await openLayer(bytesSource(IMAGES.bytes))).summary.kind).toBe('image');
  });

  it('opening a layer as the other kind is refused, and leaves no file open', async () => {
    const path = join(DIRECTORY, 'layer');
    for (const [bytes, Kind] of [
      [DELTA.bytes, ImageLayerReader],
      [IMAGES.bytes, DeltaLayerReader],
    ] as const) {
      const { fileSystem, openFiles } = diskWith(path, bytes);
      const error = await storageErrorOf(Kind.open(path, { openFiles }));
      expect(error).toMatchObject({ code: 'corrupt', path, offset: 0 });
      expect(fileSystem.openCount).toBe(0);
    }
  });

  it('opening what is not a layer is refused, and leaves no file open', async () => {
    const path = join(DIRECTORY, 'layer');
    const { fileSystem, openFiles } = diskWith(path, new Uint8Array(20_000));
    expect(await storageErrorOf(openLayer(path, { openFiles }))).toMatchObject({
      code: 'corrupt',
      path,
    });
    expect(fileSystem.openCount).toBe(0);
    const missing = join(DIRECTORY, 'missing');
    expect(await storageErrorOf(openLayer(missing, { openFiles }))).toMatchObject({
      code: 'not-found',
      path: missing,
    });
    expect((await storageErrorOf(openLayer(DIRECTORY, { openFiles }))).code).toBe('io');
  });

  it('opening reports why a file was refused, even if it cannot be closed then', async () => {
    const path = join(DIRECTORY, 'layer');
    for (const bytes of [DELTA.bytes, new Uint8Array(20_000)]) {
      const { fileSystem, openFiles } = diskWith(path, bytes);
      fileSystem.intercept = ({ kind }) => (kind === 'close' ? { fail: 'EIO' } : undefined);
      const opening = ImageLayerReader.open(path, { openFiles });
      expect((await storageErrorOf(opening)).code).toBe('corrupt');
      expect(fileSystem.openCount).toBe(0);
    }
  });

  it.each<[string, ReadOptions]>([
    ['a blob length that is no number', { maximumBlobLength: Number.NaN }],
    ['a negative blob length', { maximumBlobLength: -1 }],
    ['a window that is no number', { maximumWindowSize: Number.NaN }],
  ])('opening refuses %s as a limit, because it would be none', async (_, options) => {
    const path = join(DIRECTORY, 'layer');
    const { fileSystem, openFiles } = diskWith(path, IMAGES.bytes);
    for (const call of [openLayer, verifyLayer]) {
      const result: Promise<unknown> = call(path, { ...options, openFiles });
      expect((await storageErrorOf(result)).code).toBe('invalid-input');
    }
    expect(fileSystem.openCount).toBe(0);
  });
});

describe('the name of a file', () => {
  const other = DELTA.finished.name.replace(/-0000000000002000$/, '-0000000000003000');

  it('the name of a file that is another layer’s is refused, unless names are ignored', async () => {
    const path = join(DIRECTORY, other);
    const { openFiles } = diskWith(path, DELTA.bytes);
    const error = await storageErrorOf(openLayer(path, { openFiles }));
    expect(error).toMatchObject({
      code: 'corrupt',
      offset: 0,
      expected: other,
      actual: DELTA.finished.name,
    });
    const reader = await openLayer(path, { openFiles, nameCheck: 'ignore' });
    expect((await drain(reader.keys())).length).toBe(COUNT);
    const named = await verifyLayer(path, { openFiles });
    expect(named).toMatchObject({ ok: false, errors: 1, entries: COUNT });
    const ignored = await verifyLayer(path, { openFiles, nameCheck: 'ignore' });
    expect(ignored).toMatchObject({ ok: true, findings: [] });
  });

  it.each([
    DELTA.finished.name,
    `${DELTA.finished.name}-v1-0000000a`,
    DELTA.finished.name.toLowerCase(),
    'anything else',
    IMAGES.finished.name.slice(1),
  ])('the name of a file that is its own or none is taken: %s', async (name) => {
    const path = join(DIRECTORY, name);
    const { openFiles } = diskWith(path, DELTA.bytes);
    expect((await openLayer(path, { openFiles })).summary.kind).toBe('delta');
    expect((await openLayer(bytesSource(DELTA.bytes, path))).path).toBe(path);
  });
});
