/** The header of a Postgres page, for people and for programs. */
import { formatLsn, formatPgLsn } from '../layers/lsn.ts';
import { checkPageChecksum, decodePageHeader, itemCount, pageChecksum } from '../postgres/page.ts';
import { formatCount } from './human.ts';
import type { Json } from './json.ts';

/** A page, with its block number in the fork. */
export interface ShownPage {
  readonly page: Uint8Array;
  readonly blockNumber: number;
}

type ChecksumState = 'good' | 'bad' | 'none';

/** For `writeProperties`. */
export function pageProperties(shown: ShownPage): (readonly [name: string, value: string])[] {
  const header = decodePageHeader(shown.page);
  const { lower, upper, special } = header;
  return [
    ['page LSN', formatPgLsn(header.lsn)],
    ['page checksum', checksumText(shown)],
    ['page flags', flagsText(header.flags)],
    ['lower, upper, special', [lower, upper, special].map(formatCount).join('  ')],
    ['items', formatCount(itemCount(header))],
  ];
}

export function pageJson(shown: ShownPage): Readonly<Record<string, Json | undefined>> {
  const header = decodePageHeader(shown.page);
  const state = checksumState(shown);
  const expected = state === 'bad' ? pageChecksum(shown.page, shown.blockNumber) : undefined;
  return {
    page_lsn: formatLsn(header.lsn),
    checksum: header.checksum,
    checksum_state: state,
    expected_checksum: expected,
    flags: header.flags,
    lower: header.lower,
    upper: header.upper,
    special: header.special,
    items: itemCount(header),
  };
}

function checksumState({ page, blockNumber }: ShownPage): ChecksumState {
  const state = checkPageChecksum(page, blockNumber);
  if (state === 'good') return 'good';
  return state === 'mismatch' ? 'bad' : 'none';
}

function checksumText(shown: ShownPage): string {
  const stored = hex(decodePageHeader(shown.page).checksum);
  switch (checksumState(shown)) {
    case 'good':
      return `${stored}, good`;
    case 'bad':
      return `${stored}, bad: expected ${hex(pageChecksum(shown.page, shown.blockNumber))}`;
    case 'none':
      return 'none';
  }
}

/** Flags of bufpage.h, from bit 0. */
const FLAG_NAMES = ['has free line pointers', 'full', 'all visible'];

function flagsText(flags: number): string {
  const names = FLAG_NAMES.filter((_, bit) => (flags & (1 << bit)) !== 0);
  return [hex(flags), ...names].join(', ');
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(4, '0')}`;
}
