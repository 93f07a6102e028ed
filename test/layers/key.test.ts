/** Keys: bytes, text, fields, order and arithmetic. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addToKey,
  checkKey,
  checkKeyRange,
  compareKeys,
  fitsPageserver,
  formatKey,
  type Key,
  type KeyFields,
  keyFields,
  keyFromFields,
  maximumKey,
  minimumKey,
  nextKey,
  parseKey,
} from '../../src/layers/key.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

// biome-ignore format: one field a line
const VECTOR = Uint8Array.of(
  0x00,                   // field1
  0x00, 0x00, 0x06, 0x7f, // field2: tablespace 1663
  0x00, 0x00, 0x00, 0x05, // field3: database 5
  0x00, 0x00, 0x40, 0x00, // field4: relation 16384
  0x02,                   // field5: fork 2
  0xff, 0x00, 0x00, 0x01, // field6: block
);

const FIELDS: KeyFields = {
  field1: 0,
  field2: 1663,
  field3: 5,
  field4: 16384,
  field5: 2,
  field6: 0xff00_0001,
};

describe('a key', () => {
  it('a key has its fields in big-endian order', () => {
    expect(keyFromFields(FIELDS)).toEqual(VECTOR);
    expect(keyFields(VECTOR)).toEqual(FIELDS);
  });

  it('a key is 36 upper-case hex digits, read in either case', () => {
    const text = '000000067F000000050000400002FF000001';
    expect(formatKey(VECTOR)).toBe(text);
    expect(parseKey(text)).toEqual(VECTOR);
    expect(parseKey(text.toLowerCase())).toEqual(VECTOR);
  });

  it('a key is read at an offset', () => {
    const bytes = Buffer.concat([Buffer.alloc(7), VECTOR, Buffer.alloc(3)]);
    expect(formatKey(bytes, 7)).toBe(formatKey(VECTOR));
    expect(formatKey(bytes.subarray(7))).toBe(formatKey(VECTOR));
  });

  it.each([
    [''],
    ['0'.repeat(35)],
    ['0'.repeat(37)],
    [`${'0'.repeat(35)}g`],
    [` ${'0'.repeat(35)}`],
    [`0x${'0'.repeat(34)}`],
    [`-${'0'.repeat(35)}`],
    [`${'0'.repeat(36)}\n`],
    [`\n${'0'.repeat(36)}`],
    ['٠'.repeat(36)],
  ])('a key is refused as text: %j', (text) => {
    expect(storageErrorThrownBy(() => parseKey(text)).code).toBe('invalid-input');
  });

  it.each([[17], [19], [0]])('a key of %d bytes is refused', (length) => {
    const key = new Uint8Array(length);
    const refused = { code: 'invalid-input' };
    expect(storageErrorThrownBy(() => checkKey(key))).toMatchObject(refused);
    expect(storageErrorThrownBy(() => keyFields(key))).toMatchObject(refused);
    expect(storageErrorThrownBy(() => addToKey(key, 1))).toMatchObject(refused);
  });

  it('a key that is cut short is never formatted with the bytes after it', () => {
    const memory = new Uint8Array(64).fill(0xee);
    expect(storageErrorThrownBy(() => formatKey(memory.subarray(0, 17))).code).toBe(
      'invalid-input',
    );
    expect(storageErrorThrownBy(() => formatKey(memory.subarray(0, 20), 3)).code).toBe(
      'invalid-input',
    );
  });

  it.each([
    ['field1', 0x100],
    ['field2', 0x1_0000_0000],
    ['field3', -1],
    ['field4', 1.5],
    ['field5', 256],
    ['field6', Number.NaN],
  ])('a key with %s of %d is refused', (field, value) => {
    const error = storageErrorThrownBy(() => keyFromFields({ ...FIELDS, [field]: value }));
    expect(error).toMatchObject({ code: 'out-of-range', actual: String(value) });
    expect(error.message).toContain(field);
  });

  it('a key round-trips through text and fields', () => {
    fc.assert(
      fc.property(keys(), (key) => {
        expect(parseKey(formatKey(key))).toEqual(key);
        expect(keyFromFields(keyFields(key))).toEqual(key);
      }),
    );
  });
});

describe('the order of keys', () => {
  it('the order of keys is that of their bytes and of their text', () => {
    fc.assert(
      fc.property(keys(), keys(), (left, right) => {
        const texts = [formatKey(left), formatKey(right)];
        const byText = (texts[0] ?? '') < (texts[1] ?? '') ? -1 : texts[0] === texts[1] ? 0 : 1;
        expect(Math.sign(compareKeys(left, right))).toBe(byText);
      }),
    );
  });

  it('the order of keys has a lowest and a highest key', () => {
    expect(formatKey(minimumKey())).toBe('0'.repeat(36));
    expect(formatKey(maximumKey())).toBe('F'.repeat(36));
  });
});

describe('adding to a key', () => {
  it.each([
    // key, count, sum
    ['000000000000000000000000000000000000', 1, '000000000000000000000000000000000001'],
    ['0000000000000000000000000000FFFFFFFF', 1, '000000000000000000000000000100000000'],
    // field6 and field5 are full: field4 takes the carry.
    ['00000000000000000000000000FFFFFFFFFF', 1, '000000000000000000000000010000000000'],
    ['000000000000000000FFFFFFFFFFFFFFFFFF', 1, '000000000000000001000000000000000000'],
    ['00FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF', 1, '010000000000000000000000000000000000'],
    ['FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE', 1, 'FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF'],
    ['000000067F00000005000040000000000000', 0xffff_ffff, '000000067F000000050000400000FFFFFFFF'],
    ['000000067F000000050000400000FFFFFFFF', 0xffff_ffff, '000000067F000000050000400001FFFFFFFE'],
    ['000000067F00000005000040000000000000', 0, '000000067F00000005000040000000000000'],
  ])('adding to the key %s the count %d gives the sum', (key, count, sum) => {
    expect(formatKey(addToKey(parseKey(key), count))).toBe(sum);
  });

  it('past the last key is refused', () => {
    expect(storageErrorThrownBy(() => nextKey(maximumKey()))).toMatchObject({
      code: 'out-of-range',
      key: 'F'.repeat(36),
    });
  });

  it.each([[-1], [0x1_0000_0000], [0.5]])('adding to a key %d is refused', (count) => {
    expect(storageErrorThrownBy(() => addToKey(minimumKey(), count)).code).toBe('out-of-range');
  });

  it('adding to a key agrees with arithmetic, and leaves the key as it is', () => {
    fc.assert(
      fc.property(keys(), fc.integer({ min: 0, max: 0xffff_ffff }), (key, count) => {
        const before = formatKey(key);
        const sum = BigInt(`0x${before}`) + BigInt(count);
        fc.pre(sum < 1n << 144n);
        expect(BigInt(`0x${formatKey(addToKey(key, count))}`)).toBe(sum);
        expect(formatKey(key)).toBe(before);
      }),
    );
  });
});

describe('a pageserver', () => {
  it.each([
    ['7F0000FFFF', true],
    ['800000FFFF', false],
    ['8000000000', false],
    ['0000010000', false],
    ['0001000000', false],
    ['00FFFFFFFF', true],
    ['00FFFFFFFE', false],
    ['00FEFFFFFF', false],
    ['0022222222', true],
    ['0022222221', false],
    ['7FFFFFFFFF', true],
    ['80FFFFFFFF', false],
  ])('given a key that begins with %s: can hold it is %s', (begin, fits) => {
    const key = parseKey(begin.padEnd(36, 'F'));
    expect(fitsPageserver(key)).toBe(fits);
    expect(fitsPageserver(Uint8Array.from([0x99, ...key]), 1)).toBe(fits);
  });
});

describe('a key range', () => {
  it('a key range of one key is accepted', () => {
    expect(() => checkKeyRange({ start: VECTOR, end: nextKey(VECTOR) })).not.toThrow();
  });

  it.each([
    ['empty', VECTOR, VECTOR, 'out-of-range'],
    ['reversed', nextKey(VECTOR), VECTOR, 'out-of-range'],
    ['with a short start', new Uint8Array(17), VECTOR, 'invalid-input'],
    ['with a long end', VECTOR, new Uint8Array(19), 'invalid-input'],
  ])('a key range is refused: %s', (_, start, end, code) => {
    expect(storageErrorThrownBy(() => checkKeyRange({ start, end })).code).toBe(code);
  });
});

function keys(): fc.Arbitrary<Key> {
  return fc.uint8Array({ minLength: 18, maxLength: 18 });
}
