import { describe, expect, test } from 'vitest';
import {
  isLeftoverName,
  newToken,
  ownerOf,
  SCRATCH_PREFIX,
  temporaryName,
} from '../../src/virtual-file/leftover-names.ts';

const OWNER = '0123456789abcdef0123456789ab';
const TOKEN = newToken(OWNER);

describe('a temporary name', () => {
  test.each([
    ['metadata', true],
    ['x'.repeat(90), true],
    [`${'é'.repeat(45)}`, true],
    ['x'.repeat(98), true],
    ['x'.repeat(99), false],
    ['é'.repeat(49), true],
    [`${'é'.repeat(49)}x`, false],
    ['x'.repeat(255), false],
  ])('the temporary name of %s begins with it: %s', (stem, isShown) => {
    const name = temporaryName(stem, TOKEN);
    expect(name.startsWith(`${stem}.`)).toBe(isShown);
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(143);
    expect(name.endsWith(`.${TOKEN}.___temp`)).toBe(true);
    expect([isLeftoverName(name), ownerOf(name)]).toEqual([true, OWNER]);
  });

  test('a temporary name differs for two names that are too long to be shown', () => {
    expect(temporaryName('x'.repeat(200), TOKEN)).not.toBe(temporaryName('x'.repeat(201), TOKEN));
  });
});

test('a scratch name contains its owner', () => {
  expect(ownerOf(SCRATCH_PREFIX + TOKEN)).toBe(OWNER);
  expect(isLeftoverName(SCRATCH_PREFIX + TOKEN)).toBe(true);
});

test('two tokens of one owner differ', () => {
  expect(TOKEN).toMatch(new RegExp(`^${OWNER}[\\da-f]{8}$`));
  expect(newToken(OWNER)).not.toBe(TOKEN);
});

test.each([
  'file.___temp',
  'file.0.___temp',
  `file.${TOKEN}.___temp.bak`,
  `file.${TOKEN.slice(1)}.___temp`,
  `file${TOKEN}.___temp`,
  `file.${TOKEN.toUpperCase()}.___temp`,
  'ephemeral-1',
  `my-ephemeral-${TOKEN}`,
  TOKEN,
])('the name %s tells no owner', (name) => {
  expect(ownerOf(name)).toBeUndefined();
});
