/**
 * Page: 8,192 bytes of a relation, as Postgres lays them out, little-endian.
 *
 *   0   u32 + u32  LSN, high half first: end of the last WAL record that changed the page
 *   8   u16        checksum, 0 where the cluster has none
 *   10  u16        flags
 *   12  u16        lower: end of the item pointers
 *   14  u16        upper: start of the items; 0 on a page that was never used
 *   16  u16        special: start of the access method's space
 *   18  u16        page size in the high byte (8192 = 0x2000), layout version in the low one
 *   20  u32        oldest transaction that may leave something to prune, or 0
 *
 * Checksum: 32 FNV-1a sums side by side over the page as rows of 32 u32, with the checksum field
 * taken as 0, two more rounds of zeros, XORed together and with the block number, folded to
 * 1..65535. The block number counts through all segments of the fork, so that a page in the
 * wrong place is detected. Source: Postgres src/include/storage/bufpage.h, checksum_impl.h.
 */

import { assert } from '../assert.ts';
import { checkBytes, checkCount } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';

/** Bytes of a page. */
export const PAGE_SIZE = 8192;
export const PAGE_HEADER_SIZE = 24;

/** The header of a page. */
export interface PageHeader {
  /** End of the last WAL record that changed the page. */
  readonly lsn: Lsn;
  /** 0 if the page has none. */
  readonly checksum: number;
  /** Bits of bufpage.h: 1 has free line pointers, 2 full, 4 all visible. */
  readonly flags: number;
  /** Offset of the end of the item pointers. */
  readonly lower: number;
  /** Offset of the start of the items. */
  readonly upper: number;
  /** Offset of the access method's space. */
  readonly special: number;
  /** Bytes, as stored in the header. */
  readonly pageSize: number;
  /** Version of the page layout. */
  readonly layoutVersion: number;
  /** Oldest transaction that may leave something to prune, or 0. */
  readonly pruneXid: number;
}

/** `new`: the page is all zero. `absent`: the cluster had no checksums when it wrote the page. */
export type PageChecksumState = 'good' | 'mismatch' | 'new' | 'absent';

/**
 * Decodes the header of a page without checking it; that of a new page is all zero.
 *
 * @throws `invalid-input` unless the page has 8,192 bytes.
 */
export function decodePageHeader(page: Uint8Array): PageHeader {
  checkPageSize(page);
  const view = new DataView(page.buffer, page.byteOffset, PAGE_HEADER_SIZE);
  const sizeAndVersion = view.getUint16(18, true);
  return {
    lsn: (BigInt(view.getUint32(0, true)) << 32n) | BigInt(view.getUint32(4, true)),
    checksum: view.getUint16(CHECKSUM_OFFSET, true),
    flags: view.getUint16(10, true),
    lower: view.getUint16(12, true),
    upper: view.getUint16(UPPER_OFFSET, true),
    special: view.getUint16(16, true),
    pageSize: sizeAndVersion & 0xff00,
    layoutVersion: sizeAndVersion & 0x00ff,
    pruneXid: view.getUint32(20, true),
  };
}

/**
 * Sets the LSN of a page in place, as redo does. A new page, which has no header, stays as it is. The checksum
 * is not updated.
 *
 * @throws `invalid-input` if the page has fewer than 8,192 bytes.
 */
export function setPageLsn(page: Uint8Array, lsn: Lsn): void {
  checkPageSize(page.subarray(0, PAGE_SIZE));
  const view = new DataView(page.buffer, page.byteOffset, PAGE_HEADER_SIZE);
  if (view.getUint16(UPPER_OFFSET, true) === 0) return;
  view.setUint32(0, Number(lsn >> 32n), true);
  view.setUint32(4, Number(lsn & 0xffff_ffffn), true);
}

/** Sets the checksum of a page in place. Requires: the page has a header. */
export function setPageChecksum(page: Uint8Array, checksum: number): void {
  const view = new DataView(page.buffer, page.byteOffset, PAGE_HEADER_SIZE);
  view.setUint16(CHECKSUM_OFFSET, checksum, true);
}

/** Item pointers, of 4 bytes each, that lie between the header and `lower`. */
export function itemCount({ lower }: PageHeader): number {
  return Math.max(0, Math.floor((lower - PAGE_HEADER_SIZE) / 4));
}

/**
 * Computes the checksum of a page.
 *
 * @param blockNumber Block number in the fork, across its segments.
 * @returns 1 to 65535.
 * @throws `invalid-input` unless the page has 8,192 bytes.
 */
export function pageChecksum(page: Uint8Array, blockNumber: number): number {
  checkPageSize(page);
  checkCount('block number', blockNumber, { to: 0xffff_ffff });
  return (((hashPage(page) ^ blockNumber) >>> 0) % 65535) + 1;
}

/**
 * Compares the checksum of a page with its content.
 *
 * @param blockNumber Block number in the fork, across its segments.
 * @throws `invalid-input` unless the page has 8,192 bytes.
 */
export function checkPageChecksum(page: Uint8Array, blockNumber: number): PageChecksumState {
  const { checksum, upper } = decodePageHeader(page);
  if (upper === 0 && ZEROS.equals(page)) return 'new';
  if (checksum === 0) return 'absent';
  return checksum === pageChecksum(page, blockNumber) ? 'good' : 'mismatch';
}

/**
 * Returns why a server with checksums would refuse the page, or undefined. A valid page is all zero,
 * or has a header and its checksum, which is never 0.
 */
export function badPageOf(
  page: Uint8Array,
  blockNumber: number,
): { readonly expected: string; readonly actual: string } | undefined {
  const { checksum, upper } = decodePageHeader(page);
  if (upper === 0) {
    if (ZEROS.equals(page)) return undefined;
    return { expected: 'a page header, or only zeros', actual: 'upper 0 and other bytes' };
  }
  const computed = pageChecksum(page, blockNumber);
  return checksum === computed ? undefined : { expected: hex(computed), actual: hex(checksum) };
}

function hex(checksum: number): string {
  return `0x${checksum.toString(16).padStart(4, '0')}`;
}

const ZEROS = Buffer.alloc(PAGE_SIZE);

const CHECKSUM_OFFSET = 8;
const UPPER_OFFSET = 14;
const SUM_COUNT = 32;
const FNV_PRIME = 16777619;

/** Where each sum starts. */
const SUM_SEEDS = Int32Array.of(
  0x5b1f36e9,
  0xb8525960,
  0x02ab50aa,
  0x1de66d2a,
  0x79ff467a,
  0x9bb9f8a3,
  0x217e7cd2,
  0x83e13d2c,
  0xf8d4474f,
  0xe39eb970,
  0x42c6ae16,
  0x993216fa,
  0x7b093b5d,
  0x98daff3c,
  0xf718902a,
  0x0b1c9cdb,
  0xe58f764b,
  0x187636bc,
  0x5d7b3bb1,
  0xe73de7de,
  0x92bec979,
  0xcca6c0b2,
  0x304a0979,
  0x85aa43d4,
  0x783125bb,
  0x6ca8eaa2,
  0xe407eac6,
  0x4b5cfc3e,
  0x9fbf8c76,
  0x15ca20be,
  0xf2ca9fd3,
  0x959bd756,
);

assert(SUM_SEEDS.length === SUM_COUNT, 'one seed for each sum');
assert(SUM_COUNT % 4 === 0, 'sums are made four at a time');
assert(PAGE_SIZE % (4 * SUM_COUNT) === 0, 'a page is a number of complete rows');

/** The current page as words, with a checksum of 0. Pages are summed synchronously. */
const WORDS = new Int32Array(PAGE_SIZE / 4);
const WORD_BYTES = Buffer.from(WORDS.buffer);
const IS_BIG_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 0;

/**
 * Computes four sums at a time: each step of a sum depends on the previous one, and a processor can
 * overlap four independent sums.
 */
function hashPage(page: Uint8Array): number {
  WORD_BYTES.set(page);
  WORD_BYTES.writeUInt16LE(0, CHECKSUM_OFFSET);
  if (IS_BIG_ENDIAN) WORD_BYTES.swap32();
  let result = 0;
  for (let column = 0; column < SUM_COUNT; column += 4) {
    let first = SUM_SEEDS[column] as number;
    let second = SUM_SEEDS[column + 1] as number;
    let third = SUM_SEEDS[column + 2] as number;
    let fourth = SUM_SEEDS[column + 3] as number;
    for (let index = column; index < WORDS.length; index += SUM_COUNT) {
      first = mix(first, WORDS[index] as number);
      second = mix(second, WORDS[index + 1] as number);
      third = mix(third, WORDS[index + 2] as number);
      fourth = mix(fourth, WORDS[index + 3] as number);
    }
    result ^= finish(first) ^ finish(second) ^ finish(third) ^ finish(fourth);
  }
  return result;
}

/** Two rounds of zeros. */
function finish(sum: number): number {
  return mix(mix(sum, 0), 0);
}

function mix(sum: number, value: number): number {
  const mixed = sum ^ value;
  return Math.imul(mixed, FNV_PRIME) ^ (mixed >>> 17);
}

function checkPageSize(page: Uint8Array): void {
  checkBytes(page, 'page');
  if (page.length === PAGE_SIZE) return;
  throw new StorageError('invalid-input', {
    what: 'page',
    expected: `${PAGE_SIZE} bytes`,
    actual: `${page.length} bytes`,
  });
}
