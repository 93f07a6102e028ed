/** Tenant and timeline ids: 16 bytes, 32 hex digits. */
import { describe, expect, it } from 'vitest';
import { formatIdentifier, parseIdentifier } from '../../src/layers/identifier.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const TEXT = '00112233445566778899aabbccddeeff';

describe('an identifier', () => {
  it('an identifier is 16 bytes in the order of its digits', () => {
    const bytes = parseIdentifier(TEXT, 'tenant id');
    expect([...bytes.subarray(0, 3)]).toEqual([0x00, 0x11, 0x22]);
    expect(bytes.length).toBe(16);
    expect(formatIdentifier(bytes)).toBe(TEXT);
  });

  it('an identifier is written in lower case, whatever it was read from', () => {
    expect(formatIdentifier(parseIdentifier(TEXT.toUpperCase(), 'tenant id'))).toBe(TEXT);
  });

  it('an identifier is read at an offset, also of a view', () => {
    const bytes = Buffer.concat([Buffer.alloc(5), parseIdentifier(TEXT, 'tenant id')]);
    expect(formatIdentifier(bytes, 5)).toBe(TEXT);
    expect(formatIdentifier(bytes.subarray(2), 3)).toBe(TEXT);
  });

  it.each([
    [''],
    [TEXT.slice(1)],
    [`${TEXT}0`],
    [`${TEXT}\n`],
    [TEXT.replace('0', 'g')],
    ['00112233-4455-6677-8899-aabbccddeeff'],
  ])('an identifier is refused as text: %j', (text) => {
    const error = storageErrorThrownBy(() => parseIdentifier(text, 'timeline id'));
    expect(error.code).toBe('invalid-input');
    expect(error.message).toContain('timeline id');
  });
});
