/**
 * What a server changes in its files without WAL, or logs in part, so that nobody who replays the WAL has it. Each
 * class is stated exactly; a difference of no class is a fault.
 */
import type { Difference } from './compared-clusters.ts';

/** Names of the classes, in words of the difference. */
export type UnloggedChange =
  | 'relation is unlogged'
  | 'free space map was never logged'
  | 'visibility map is empty and was never logged'
  | 'visibility map was copied without its bits'
  | 'SP-GiST remembers other pages with room';

const PAGE_HEADER_SIZE = 24;
const PAGE_LSN = { start: 0, end: 8 };
const CHECKSUM = { start: 8, end: 10 };
const MAP = { start: PAGE_HEADER_SIZE, end: 8192 };
/** Root, middle and leaf of a free space map that covers up to 4,069 blocks. */
const SMALL_FREE_SPACE_MAP = 3 * 8192;

/**
 * The class of a difference, or the difference in words.
 *
 * `copiedDatabases`: those that CREATE_WAL_LOG made.
 */
export function unloggedChange(
  difference: Difference,
  copiedDatabases: readonly number[],
): UnloggedChange | string {
  if (difference.kind === 'other') return difference.what;
  const { fork, isUnlogged, kind, bytes } = difference;
  if (isUnlogged) return 'relation is unlogged';
  if (kind === 'size') {
    const isUnknown = difference.blocks === undefined;
    // Postgres extends both maps without WAL, and logs pages of a free space map for hints and truncation only.
    if (isUnknown && fork.fork === 'fsm' && bytes.length === SMALL_FREE_SPACE_MAP) {
      return 'free space map was never logged';
    }
    if (isUnknown && fork.fork === 'vm' && isZero(bytes, PAGE_HEADER_SIZE, bytes.length)) {
      return 'visibility map is empty and was never logged';
    }
  } else {
    const { page, blkno } = difference;
    // CREATE_WAL_LOG logs each page as one with a hole from pd_lower to pd_upper, which is all of a map.
    if (
      fork.fork === 'vm' &&
      copiedDatabases.includes(fork.dbnode) &&
      isZero(page, PAGE_HEADER_SIZE, page.length) &&
      differsOnlyIn(page, bytes, [PAGE_LSN, MAP])
    ) {
      return 'visibility map was copied without its bits';
    }
    if (blkno === 0 && isSpGistMetaPage(page) && differsOnlyIn(page, bytes, [LAST_USED_PAGES])) {
      return 'SP-GiST remembers other pages with room';
    }
  }
  const blocks = kind === 'size' ? `${difference.blocks} blocks` : `block ${difference.blkno}`;
  return `${fork.spcnode}/${fork.dbnode}/${fork.relnode} ${fork.fork} ${blocks}`;
}

/** How many differences each class has; a fault stands by itself. */
export function countUnloggedChanges(
  differences: readonly Difference[],
  copiedDatabases: readonly number[],
): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const difference of differences) {
    const change = unloggedChange(difference, copiedDatabases);
    counts[change] = (counts[change] ?? 0) + 1;
  }
  return counts;
}

const SP_GIST_MAGIC = 0xba0b_abee;
/** After the magic, 8 pages, each a block number and its room. The server sets them as hints. */
const LAST_USED_PAGES = { start: PAGE_HEADER_SIZE + 4, end: PAGE_HEADER_SIZE + 4 + 8 * 8 };

function isSpGistMetaPage(page: Uint8Array): boolean {
  return (
    new DataView(page.buffer, page.byteOffset).getUint32(PAGE_HEADER_SIZE, true) === SP_GIST_MAGIC
  );
}

function differsOnlyIn(
  page: Uint8Array,
  other: Uint8Array,
  ranges: readonly { readonly start: number; readonly end: number }[],
): boolean {
  const allowed = [CHECKSUM, ...ranges];
  const isAllowed = (at: number) => allowed.some(({ start, end }) => at >= start && at < end);
  return page.every((byte, at) => byte === other[at] || isAllowed(at));
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  return bytes.subarray(start, end).every((byte) => byte === 0);
}
