/**
 * Multixact: a number that represents several transactions. A new one is a record on the page of its offset, and one
 * on each page of its members; the offset of a member wraps at 2^32.
 *
 * Source: Neon pageserver/src/walingest.rs, ingest_multixact_create_record.
 */
import type { MultixactMember } from '../../layers/value-format.ts';
import { SLRU_SEGMENT_PAGES } from '../../postgres/key-mapping.ts';
import { MEMBERS_PER_PAGE, OFFSETS_PER_PAGE } from '../../postgres/neon-records.ts';
import { decodeZeroPage } from '../../wal/main-data/main-data.ts';
import {
  decodeMultixactCreate,
  decodeMultixactTruncate,
  type MultixactCreation,
} from '../../wal/main-data/multixact.ts';
import type { WalRecord } from '../../wal/record-format.ts';
import { isAhead } from './checkpoint-value.ts';
import type { IngestState } from './ingest-state.ts';
import type { Asking } from './metadata.ts';
import { dropSlruSegments, putSlruRecord, putZeroSlruPage } from './slrus.ts';
import { lowHalf } from './transactions.ts';

export function* zeroOffsetsPage(state: IngestState, { mainData }: WalRecord): Asking<void> {
  const page = lowHalf(decodeZeroPage(mainData, state.majorVersion));
  yield* putZeroSlruPage(state, 'multixact_offsets', page);
}

export function* zeroMembersPage(state: IngestState, { mainData }: WalRecord): Asking<void> {
  const page = lowHalf(decodeZeroPage(mainData, state.majorVersion));
  yield* putZeroSlruPage(state, 'multixact_members', page);
}

export function createMultixact(state: IngestState, { mainData }: WalRecord): void {
  const { checkpoint } = state;
  const creation = decodeMultixactCreate(mainData);
  const { multixactId, offset, members } = creation;
  const page = Math.floor(multixactId / OFFSETS_PER_PAGE);
  const record = { multixactId, multixactOffset: offset };
  putSlruRecord(state, 'multixact_offsets', page, { type: 'multixact_offset_create', ...record });
  putMembers(state, creation);
  checkpoint.advance('nextMultixact', (multixactId + 1) >>> 0);
  checkpoint.advance('nextMultixactOffset', (offset + members.length) >>> 0);
  const newest = newestOf(members);
  if (newest !== undefined) checkpoint.noteXid(newest);
}

function putMembers(state: IngestState, { offset, members }: MultixactCreation): void {
  let done = 0;
  while (done < members.length) {
    const at = (offset + done) % OFFSET_COUNT;
    const pageEnd = (Math.floor(at / MEMBERS_PER_PAGE) + 1) * MEMBERS_PER_PAGE;
    const room = Math.min(pageEnd, OFFSET_COUNT) - at;
    const part = members.slice(done, done + room);
    const record = { multixactOffset: at, members: part };
    const page = Math.floor(at / MEMBERS_PER_PAGE);
    putSlruRecord(state, 'multixact_members', page, {
      type: 'multixact_members_create',
      ...record,
    });
    done += part.length;
  }
}

/** Member offsets have 32 bits. */
const OFFSET_COUNT = 2 ** 32;

function newestOf(members: readonly MultixactMember[]): number | undefined {
  let newest: number | undefined;
  for (const { xid } of members) {
    if (newest === undefined || isAhead(xid, newest)) newest = xid;
  }
  return newest;
}

const LAST_MEMBERS_SEGMENT = segmentOf(OFFSET_COUNT - 1);

/** Segments of offsets are kept, as in a pageserver. */
export function* truncateMultixacts(state: IngestState, { mainData }: WalRecord): Asking<void> {
  const { dbnode, endId, startMember, endMember } = decodeMultixactTruncate(mainData);
  state.checkpoint.set('oldestMultixact', endId);
  state.checkpoint.set('oldestMultixactDatabase', dbnode);
  const dropped: number[] = [];
  const end = segmentOf(endMember);
  let segno = segmentOf(startMember);
  while (segno !== end) {
    dropped.push(segno);
    segno = segno === LAST_MEMBERS_SEGMENT ? 0 : segno + 1;
  }
  yield* dropSlruSegments(state, 'multixact_members', dropped);
}

function segmentOf(offset: number): number {
  return Math.floor(offset / MEMBERS_PER_PAGE / SLRU_SEGMENT_PAGES);
}
