import { expect, test } from 'vitest';
import { ListReader, MAXIMUM_LISTED } from '../../../src/wal/describe/lists.ts';
import { storageErrorThrownBy } from '../../support/storage-errors.ts';

test('a list whose text might not fit a string is refused before any of it is made', () => {
  const reader = new ListReader(new Uint8Array(MAXIMUM_LISTED + 1));
  const error = storageErrorThrownBy(() =>
    reader.list('offsets', MAXIMUM_LISTED + 1, 1, () => expect.unreachable('no item is made')),
  );
  expect(error.code).toBe('too-large');
  expect(error.message).toContain('expected at most 33554432 items, found 33554433');
});

test('a list that is longer than its data is damage', () => {
  const error = storageErrorThrownBy(() => new ListReader(new Uint8Array(7)).u16List('offsets', 4));
  expect(error.code).toBe('corrupt');
});
