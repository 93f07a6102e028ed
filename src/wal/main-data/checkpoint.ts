/**
 * CheckPoint: the main data of a checkpoint record, the value of the checkpoint key, and a part of pg_control. 88
 * bytes, little-endian.
 *
 *   0   u64  redo LSN                          48  u32  its database
 *   8   u32  timeline                          52  u32  oldest multixact
 *   12  u32  timeline before                   56  u32  its database
 *   16  u8   full page writes                  60       padding
 *   20  i32  WAL level; padding before 17      64  i64  time, in seconds since 1970
 *   24  u64  next transaction, with epoch      72  u32  oldest transaction with a commit time
 *   32  u32  next OID                          76  u32  newest transaction with a commit time
 *   36  u32  next multixact                    80  u32  oldest active transaction
 *   40  u32  next offset of members            84       padding
 *   44  u32  oldest transaction
 *
 * Source: Postgres src/include/catalog/pg_control.h.
 */
import type { Lsn } from '../../layers/lsn.ts';
import { checkMajorVersion, decoderOf, flagOf, lsnOf } from './main-data.ts';

/** Bytes of a CheckPoint. */
export const CHECKPOINT_SIZE = 88;

/** Where the fields of a CheckPoint begin. */
export const CHECKPOINT_OFFSETS = {
  redo: 0,
  timelineId: 8,
  walLevel: 20,
  nextXid: 24,
  nextOid: 32,
  nextMultixact: 36,
  nextMultixactOffset: 40,
  oldestXid: 44,
  oldestXidDatabase: 48,
  oldestMultixact: 52,
  oldestMultixactDatabase: 56,
  oldestCommitTimeXid: 72,
  newestCommitTimeXid: 76,
  oldestActiveXid: 80,
} as const;

/** A CheckPoint. */
export interface Checkpoint {
  /** Where recovery starts. */
  readonly redo: Lsn;
  /** WAL timeline. */
  readonly timelineId: number;
  /** Timeline before it. */
  readonly previousTimelineId: number;
  /** Whether full page writes are on. */
  readonly fullPageWrites: boolean;
  /** 0 minimal, 1 replica, 2 logical; undefined before 17. */
  readonly walLevel: number | undefined;
  /** Next transaction, the epoch in the high 32 bits. */
  readonly nextXid: bigint;
  /** Next OID. */
  readonly nextOid: number;
  /** Next multixact. */
  readonly nextMultixact: number;
  /** Where the members of the next multixact begin. */
  readonly nextMultixactOffset: number;
  /** Oldest transaction whose status is kept. */
  readonly oldestXid: number;
  /** OID of the database where it is the oldest. */
  readonly oldestXidDatabase: number;
  /** Oldest multixact. */
  readonly oldestMultixact: number;
  /** OID of the database where it is the oldest. */
  readonly oldestMultixactDatabase: number;
  /** Seconds since 1970. */
  readonly time: bigint;
  /** Oldest transaction with a commit time. */
  readonly oldestCommitTimeXid: number;
  /** Newest transaction with a commit time. */
  readonly newestCommitTimeXid: number;
  /** Oldest transaction that ran; 0 in a shutdown checkpoint. */
  readonly oldestActiveXid: number;
}

/**
 * Decodes a CheckPoint.
 *
 * @param majorVersion 14 to 17.
 * @throws `corrupt` unless it has 88 bytes; `invalid-input`.
 */
export function decodeCheckpoint(bytes: Uint8Array, majorVersion: number): Checkpoint {
  checkMajorVersion(majorVersion);
  const decoder = decoderOf(bytes);
  const redo = lsnOf(decoder, 'redo LSN');
  const timelineId = decoder.u32('timeline');
  const previousTimelineId = decoder.u32('timeline before');
  const fullPageWrites = flagOf(decoder, 'full page writes');
  decoder.skip('padding', 3);
  const walLevel = decoder.u32('WAL level');
  const checkpoint = {
    redo,
    timelineId,
    previousTimelineId,
    fullPageWrites,
    walLevel: majorVersion < 17 ? undefined : walLevel | 0,
    nextXid: decoder.u64('next transaction'),
    nextOid: decoder.u32('next OID'),
    nextMultixact: decoder.u32('next multixact'),
    nextMultixactOffset: decoder.u32('next offset of members'),
    oldestXid: decoder.u32('oldest transaction'),
    oldestXidDatabase: decoder.u32('its database'),
    oldestMultixact: decoder.u32('oldest multixact'),
    oldestMultixactDatabase: decoder.u32('its database'),
    time: timeOf(decoder),
    oldestCommitTimeXid: decoder.u32('oldest transaction with a commit time'),
    newestCommitTimeXid: decoder.u32('newest transaction with a commit time'),
    oldestActiveXid: decoder.u32('oldest active transaction'),
  };
  decoder.skip('padding', 4);
  decoder.expectEnd();
  return checkpoint;
}

function timeOf(decoder: ReturnType<typeof decoderOf>): bigint {
  decoder.skip('padding', 4);
  return decoder.i64('time');
}
