/** Everything that can be imported has a docstring on itself, as an editor shows it. */
import { expect, test } from 'vitest';
import { undocumented } from '../../.ci/undocumented.mjs';

test('no export, member or field of the public surface lacks a docstring', () => {
  expect(undocumented()).toEqual([]);
});
