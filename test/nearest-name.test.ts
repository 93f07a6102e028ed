import { expect, test } from 'vitest';
import { nearestName, unknownName } from '../src/nearest-name.ts';

test('a mistyped name finds the nearest within two mistakes', () => {
  expect(nearestName('brod', ['blkno', 'fork'])).toBeUndefined();
  expect(nearestName('frok', ['blkno', 'fork'])).toBe('fork');
  expect(nearestName('BLKNO', ['blkno', 'fork'])).toBe('blkno');
  expect(nearestName('x', ['blkno', 'fork'])).toBeUndefined();
  expect(nearestName('x'.repeat(100), ['blkno'])).toBeUndefined();
});

test('an unknown name is an error that suggests the nearest, or lists all candidates', () => {
  expect(unknownName('fork', 'fms', ['main', 'fsm'])).toEqual({
    what: 'unknown fork "fms"; did you mean "fsm"?',
  });
  expect(unknownName('fork', 'x', ['main', 'fsm'])).toEqual({
    what: 'unknown fork "x"',
    expected: 'main, fsm',
  });
});
