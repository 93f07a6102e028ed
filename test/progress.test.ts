import { expect, test } from 'vitest';
import { bytesSource } from '../src/blob-writer/byte-source.ts';
import { StorageError } from '../src/errors.ts';
import { verifyLayer } from '../src/layers/verify.ts';
import { tellProgress } from '../src/progress.ts';
import { DELTA } from './support/sample-layers.ts';
import { storageErrorOf, storageErrorThrownBy } from './support/storage-errors.ts';

test('whatever a progress callback throws is io with its cause', async () => {
  const cause = new TypeError('no such bar');
  const onProgress = () => {
    throw cause;
  };
  expect(await storageErrorOf(verifyLayer(bytesSource(DELTA.bytes), { onProgress }))).toMatchObject(
    {
      code: 'io',
      message: 'progress callback failed: no such bar',
      cause,
    },
  );
});

test('a StorageError that a progress callback throws stays as it is', () => {
  const error = new StorageError('aborted', { what: 'enough' });
  const tell = () =>
    tellProgress(
      () => {
        throw error;
      },
      1,
      2,
    );
  expect(storageErrorThrownBy(tell)).toBe(error);
});
