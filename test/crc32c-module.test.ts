import { expect, test } from 'vitest';
import {
  CRC32C_DATA_OFFSET,
  crc32cModule,
  FOLD_DISTANCE,
  FOLDED_POWERS,
} from '../src/crc32c-module.ts';

/** `x` to the power, modulo the polynomial of CRC-32C, with reflected bits. */
function powerOfX(power: number): number {
  let value = 0x8000_0000;
  for (let step = 0; step < power; step += 1) {
    value = (value >>> 1) ^ ((value & 1) === 0 ? 0 : 0x82f63b78);
  }
  return value >>> 0;
}

test('a shift by the fold distance is the sum of the folded powers', () => {
  const sum = FOLDED_POWERS.reduce((total, power) => total ^ powerOfX(128 * power), 0) >>> 0;
  expect(sum).toBe(powerOfX(128 * FOLD_DISTANCE));
});

test('what is folded has room before the bytes of the user', () => {
  expect(CRC32C_DATA_OFFSET).toBe(39_520);
});

test('the module begins with its types, and exports the continued checksum', () => {
  const bytes = crc32cModule();
  expect(Buffer.from(bytes.subarray(0, 32)).toString('hex')).toBe(
    '0061736d01000000' + // magic and version
      '011c0460037f7f7f017f60037f7f7f017f60037f7f7f017f', // four functions, three of (i32, i32, i32)
  );
  expect(Buffer.from(bytes).includes('update')).toBe(true);
  expect(bytes.length).toBeLessThan(1500);
});
