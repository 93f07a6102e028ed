import { expect, test } from 'vitest';
import { twophaseFileName, twophaseFileOf } from '../../src/postgres/twophase-file.ts';
import { twophaseFile } from '../support/exported-clusters.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const FILE = twophaseFile('state');

function changed(offset: number, byte: number): Uint8Array {
  const bytes = FILE.slice();
  bytes[offset] = byte;
  return bytes;
}

test('a value with its checksum is the file', () => {
  expect(twophaseFileOf(FILE)).toBe(FILE);
});

test('a value without its checksum gets one', () => {
  expect(twophaseFileOf(FILE.slice(0, -4))).toEqual(FILE);
});

test.each([
  ['too short', FILE.slice(0, 11), 'truncated', undefined],
  ['of another magic', changed(0, 0), 'corrupt', 0],
  ['of another length', FILE.slice(0, -1), 'corrupt', 4],
  ['with a wrong checksum', changed(9, 0), 'corrupt', FILE.length - 4],
] as const)('a value that is %s is refused', (_, value, code, offset) => {
  expect(storageErrorThrownBy(() => twophaseFileOf(value))).toMatchObject({ code, offset });
});

test('the name has the epoch from 17 on', () => {
  expect(twophaseFileName(0x2e4n, 16)).toBe('000002E4');
  expect(twophaseFileName(0x1_0000_02e4n, 17)).toBe('00000001000002E4');
});
