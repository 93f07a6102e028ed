/** Pages of 8 KiB: such as Postgres writes, and such as compress to one half. */
import { randomBytes, randomNumbers } from './random.mjs';

export const PAGE_SIZE = 8192;
export const PAGE_KINDS = ['postgres', 'half'];

/** Distinct pages; more repeat them. */
const POOL_COUNT = 512;

export function pagePool(kind) {
  const next = randomNumbers(11);
  return Array.from({ length: POOL_COUNT }, (_, at) =>
    kind === 'postgres' ? postgresPage(at, next) : halfRandomPage(at),
  );
}

const HEADER_SIZE = 24;
const WORDS = 'alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo'.split(' ');

/** Header, line pointers, and from the end rows of a transaction id, numbers and some text. */
function postgresPage(number, next) {
  const page = Buffer.alloc(PAGE_SIZE);
  page.writeUInt32LE(number, 4);
  page.writeUInt16LE(PAGE_SIZE + 4, 18);
  let lower = HEADER_SIZE;
  let upper = PAGE_SIZE;
  for (let row = 0; ; row += 1) {
    const text = Array.from({ length: 3 + (next() % 4) }, () => WORDS[next() % WORDS.length]);
    const length = 24 + 16 + 8 * Math.ceil((text.join(' ').length + 1) / 8);
    if (lower + 4 > upper - length) break;
    upper -= length;
    page.writeUInt32LE(700 + (next() % 50), upper);
    page.writeUInt32LE(number, upper + 12);
    page.writeUInt16LE(row + 1, upper + 16);
    page.writeUInt16LE(3, upper + 18);
    page.writeUInt8(24, upper + 22);
    page.writeUInt32LE(number * 64 + row, upper + 24);
    page.writeUInt32LE(next(), upper + 32);
    page.write(text.join(' '), upper + 40, 'latin1');
    page.writeUInt32LE(upper | (1 << 15) | (length << 17), lower);
    lower += 4;
  }
  page.writeUInt16LE(lower, 12);
  page.writeUInt16LE(upper, 14);
  page.writeUInt16LE(PAGE_SIZE, 16);
  return page;
}

function halfRandomPage(number) {
  const page = Buffer.alloc(PAGE_SIZE, `row ${number};`);
  page.set(randomBytes(PAGE_SIZE / 2, number + 1));
  return page;
}
