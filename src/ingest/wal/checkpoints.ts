/**
 * Records that advance the checkpoint, see `checkpoint-value.ts`.
 *
 * A pageserver uses only three fields of a checkpoint record: the oldest transaction, if it is ahead; the oldest active
 * one; and where it ends, for `redo`. A shutdown checkpoint may say that no transaction is active. Prepared ones
 * survive it: then the oldest active one is the oldest of these and of the next one.
 * Source: Neon pageserver/src/walingest.rs, ingest_xlog_record.
 */
import { decodeCheckpoint } from '../../wal/main-data/checkpoint.ts';
import { decoderOf } from '../../wal/main-data/main-data.ts';
import { decodeRunningTransactions } from '../../wal/main-data/running-xacts.ts';
import type { WalRecord } from '../../wal/record-format.ts';
import type { IngestState } from './ingest-state.ts';
import type { Asking } from './metadata.ts';
import { preparedXids } from './transactions.ts';

export function* shutdownCheckpoint(state: IngestState, record: WalRecord): Asking<void> {
  const { checkpoint, lsn } = state;
  const { oldestXid, oldestActiveXid } = decodeCheckpoint(record.mainData, state.majorVersion);
  checkpoint.advance('oldestXid', oldestXid);
  const oldest = oldestActiveXid === 0 ? yield* oldestPrepared(state) : oldestActiveXid;
  checkpoint.set('oldestActiveXid', oldest);
  checkpoint.setRedo(lsn);
}

export function onlineCheckpoint(state: IngestState, record: WalRecord): void {
  const { checkpoint } = state;
  const { oldestXid, oldestActiveXid } = decodeCheckpoint(record.mainData, state.majorVersion);
  checkpoint.advance('oldestXid', oldestXid);
  checkpoint.set('oldestActiveXid', oldestActiveXid);
  checkpoint.setRedo(0n);
}

/** The oldest prepared transaction, or the next one. Those with an epoch are compared with it. */
function* oldestPrepared(state: IngestState): Asking<number> {
  const { checkpoint, majorVersion } = state;
  const prepared = yield* preparedXids(state);
  const hasEpoch = majorVersion >= 17;
  let oldest = hasEpoch ? checkpoint.nextFullXid : BigInt(checkpoint.nextXid);
  for (const xid of prepared) {
    const difference = xid - oldest;
    if ((hasEpoch ? difference : BigInt.asIntN(32, difference)) < 0n) oldest = xid;
  }
  return Number(BigInt.asUintN(32, oldest));
}

export function nextOid({ checkpoint }: IngestState, { mainData }: WalRecord): void {
  const oid = decoderOf(mainData).u32('next OID');
  if (oid !== checkpoint.get('nextOid')) checkpoint.set('nextOid', oid);
}

/** max_connections, max_worker_processes, max_wal_senders, max_prepared_xacts, max_locks_per_xact. */
const PARAMETERS_SIZE = 5 * 4;
/** Time and two timelines. */
const END_OF_RECOVERY_SIZE = 8 + 4 + 4;

export function changeParameters(state: IngestState, { mainData }: WalRecord): void {
  setWalLevel(state, mainData, PARAMETERS_SIZE);
}

export function endRecovery(state: IngestState, { mainData }: WalRecord): void {
  setWalLevel(state, mainData, END_OF_RECOVERY_SIZE);
}

/** Checkpoints have a level from 17 on. */
function setWalLevel(state: IngestState, mainData: Uint8Array, at: number): void {
  if (state.majorVersion < 17) return;
  const decoder = decoderOf(mainData);
  decoder.skip('fields before the WAL level', at);
  state.checkpoint.set('walLevel', decoder.u32('WAL level'));
}

export function runningTransactions(state: IngestState, record: WalRecord): void {
  const { oldestRunningXid } = decodeRunningTransactions(record.mainData);
  state.checkpoint.set('oldestActiveXid', oldestRunningXid);
}
