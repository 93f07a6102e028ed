/**
 * Main data of resource manager Standby, RUNNING_XACTS: the transactions running when it was written.
 *
 *   0   i32  number of transactions          12  u32  next transaction
 *   4   i32  number of subtransactions       16  u32  oldest running transaction
 *   8   u8   subtransactions are missing     20  u32  latest completed transaction
 *   9        padding, not zero               24  u32  each transaction, then each subtransaction
 *
 * Source: Postgres src/include/storage/standbydefs.h.
 */
import { allOf, decoderOf, flagOf, u32At } from './main-data.ts';

/** RUNNING_XACTS. */
export interface RunningTransactions {
  /** Transactions that run. */
  readonly xids: readonly number[];
  /** Their subtransactions. */
  readonly subxids: readonly number[];
  /** True if subtransactions are missing in the list. */
  readonly isOverflowed: boolean;
  /** The next transaction. */
  readonly nextXid: number;
  /** The oldest one that runs. */
  readonly oldestRunningXid: number;
  /** The latest one that ended. */
  readonly latestCompletedXid: number;
}

/** Decodes the main data of RUNNING_XACTS. @throws `corrupt`, `invalid-input`. */
export function decodeRunningTransactions(mainData: Uint8Array): RunningTransactions {
  const decoder = decoderOf(mainData);
  const count = decoder.u32('number of transactions');
  const subCount = decoder.u32('number of subtransactions');
  const isOverflowed = flagOf(decoder, 'overflow flag');
  decoder.skip('padding', 3);
  const nextXid = decoder.u32('next transaction');
  const oldestRunningXid = decoder.u32('oldest running transaction');
  const latestCompletedXid = decoder.u32('latest completed transaction');
  const xids = allOf(decoder.items('transactions', count, 4, u32At));
  const subxids = allOf(decoder.items('subtransactions', subCount, 4, u32At));
  decoder.expectEnd();
  return { xids, subxids, isOverflowed, nextXid, oldestRunningXid, latestCompletedXid };
}
