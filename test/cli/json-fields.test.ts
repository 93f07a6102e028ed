import { describe, expect, test } from 'vitest';
import { JsonFields } from '../../src/cli/json-fields.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

function fieldOf(value: unknown): JsonFields {
  return new JsonFields({ field: value }, 'line');
}

describe('an integer', () => {
  test.each([0, 255])('an integer of 8 bits may be %i', (value) => {
    expect(fieldOf(value).u8('field')).toBe(value);
  });

  test.each([-1, 256])('an integer of 8 bits may not be %i', (value) => {
    const error = storageErrorThrownBy(() => fieldOf(value).u8('field'));
    expect(error).toMatchObject({ code: 'invalid-input', expected: 'an integer from 0 to 255' });
  });

  test.each([0, 0xffff_ffff])('an integer of 32 bits may be %i', (value) => {
    expect(fieldOf(value).u32('field')).toBe(value);
  });

  test.each([-1, 2 ** 32])('an integer of 32 bits may not be %i', (value) => {
    expect(storageErrorThrownBy(() => fieldOf(value).u32('field')).code).toBe('invalid-input');
  });

  test.each([0n, 2n ** 64n - 1n])('an integer of 64 bits without a sign may be %s', (value) => {
    expect(fieldOf(String(value)).u64('field')).toBe(value);
  });

  test.each([-1n, 2n ** 64n])('an integer of 64 bits without a sign may not be %s', (value) => {
    const error = storageErrorThrownBy(() => fieldOf(String(value)).u64('field'));
    expect(error).toMatchObject({ code: 'invalid-input', actual: String(value) });
  });

  test.each([-(2n ** 63n), 2n ** 63n - 1n])(
    'an integer of 64 bits with a sign may be %s',
    (value) => {
      expect(fieldOf(String(value)).i64('field')).toBe(value);
    },
  );

  test.each([-(2n ** 63n) - 1n, 2n ** 63n])(
    'an integer of 64 bits with a sign may not be %s',
    (value) => {
      const error = storageErrorThrownBy(() => fieldOf(String(value)).i64('field'));
      expect(error).toMatchObject({ code: 'invalid-input', actual: String(value) });
    },
  );

  test('an integer as a number may be 2^53 - 1, and is a string beyond', () => {
    expect(fieldOf(Number.MAX_SAFE_INTEGER).u64('field')).toBe(2n ** 53n - 1n);
    const error = storageErrorThrownBy(() => fieldOf(2 ** 53).u64('field'));
    expect(error.actual).toBe('a number beyond 2^53');
  });
});
