import { expect, test } from 'vitest';
import { StorageError } from '../../src/errors.ts';
import { formatLayerName, parseLayerName } from '../../src/layers/layer-name.ts';
import { LayerFiles } from '../../src/timeline/layer-files.ts';
import { goldenLayers } from '../support/golden.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

test('a layer that could not be opened is opened by the next read', async () => {
  const path = goldenLayers()[0]?.path ?? '';
  const file = path.slice(path.lastIndexOf('/') + 1);
  const name = formatLayerName({ ...parseLayerName(file), generation: undefined });
  let attempts = 0;
  const input = async (): Promise<string> => {
    attempts += 1;
    if (attempts === 1) throw new StorageError('network', { what: 'no answer', path });
    return path;
  };
  const places = new Map([[name, { path, size: undefined, input }]]);
  const files = new LayerFiles(places, { readOptions: {}, tenantId: undefined, maximumIdle: 1 });
  expect((await storageErrorOf(files.acquire(name))).code).toBe('network');
  const held = await files.acquire(name);
  expect(held.reader.path).toBe(path);
  held.release();
  await files.close();
  expect((await storageErrorOf(files.acquire(name))).code).toBe('closed');
});
