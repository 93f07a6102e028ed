/**
 * The effects of a record beyond the blocks that it names, by resource manager and operation. Kinds that are not listed
 * have no such effects.
 */
import { corrupt } from '../../errors.ts';
import type { WalRecord } from '../../wal/record-format.ts';
import { KIND_COUNT, kindIndexOf, NEON, recordKinds } from '../../wal/resource-managers.ts';
import { storeAuxFile } from './aux-files.ts';
import {
  changeParameters,
  endRecovery,
  nextOid,
  onlineCheckpoint,
  runningTransactions,
  shutdownCheckpoint,
} from './checkpoints.ts';
import {
  deleteHeap,
  deleteNeon,
  insertHeap,
  lockHeap,
  lockNeon,
  lockUpdatedHeap,
  multiInsertHeap,
  multiInsertNeon,
  updateHeap,
} from './heap.ts';
import type { IngestState } from './ingest-state.ts';
import type { Asking } from './metadata.ts';
import {
  createMultixact,
  truncateMultixacts,
  zeroMembersPage,
  zeroOffsetsPage,
} from './multixacts.ts';
import {
  copyDatabase,
  createStorage,
  dropDatabases,
  truncateStorage,
  updateRelationMap,
} from './storage.ts';
import {
  abortTransaction,
  commitTransaction,
  dropOrigin,
  prepareTransaction,
  setOrigin,
  truncateClog,
  zeroClogPage,
} from './transactions.ts';

/** Puts the effects of a record beyond its blocks. Returns the rest of the work if values of the base may be needed. */
export type Handler = (state: IngestState, record: WalRecord) => Asking<void> | void;

/** By manager and type, without `+INIT`. */
const HANDLERS: Readonly<Record<string, Handler>> = {
  'XLOG/CHECKPOINT_SHUTDOWN': shutdownCheckpoint,
  'XLOG/CHECKPOINT_ONLINE': onlineCheckpoint,
  'XLOG/NEXTOID': nextOid,
  'XLOG/PARAMETER_CHANGE': changeParameters,
  'XLOG/END_OF_RECOVERY': endRecovery,
  'Transaction/COMMIT': commitTransaction,
  'Transaction/COMMIT_PREPARED': commitTransaction,
  'Transaction/ABORT': abortTransaction,
  'Transaction/ABORT_PREPARED': abortTransaction,
  'Transaction/PREPARE': prepareTransaction,
  'Storage/CREATE': createStorage,
  'Storage/TRUNCATE': truncateStorage,
  'CLOG/ZEROPAGE': zeroClogPage,
  'CLOG/TRUNCATE': truncateClog,
  'Database/CREATE': copyDatabase,
  'Database/CREATE_FILE_COPY': copyDatabase,
  'Database/DROP': dropDatabases,
  'MultiXact/ZERO_OFF_PAGE': zeroOffsetsPage,
  'MultiXact/ZERO_MEM_PAGE': zeroMembersPage,
  'MultiXact/CREATE_ID': createMultixact,
  'MultiXact/TRUNCATE_ID': truncateMultixacts,
  'RelMap/UPDATE': updateRelationMap,
  'Standby/RUNNING_XACTS': runningTransactions,
  'Heap2/MULTI_INSERT': multiInsertHeap,
  'Heap2/LOCK_UPDATED': lockUpdatedHeap,
  'Heap/INSERT': insertHeap,
  'Heap/DELETE': deleteHeap,
  'Heap/UPDATE': updateHeap,
  'Heap/HOT_UPDATE': updateHeap,
  'Heap/LOCK': lockHeap,
  'ReplicationOrigin/SET': setOrigin,
  'ReplicationOrigin/DROP': dropOrigin,
  'LogicalMessage/MESSAGE': storeAuxFile,
  'neon/INSERT': insertHeap,
  'neon/DELETE': deleteNeon,
  'neon/UPDATE': updateHeap,
  'neon/HOT_UPDATE': updateHeap,
  'neon/LOCK': lockNeon,
  'neon/MULTI_INSERT': multiInsertNeon,
};

const INIT_SUFFIX = '+INIT';

/** The handlers of a version, by `kindIndexOf`. */
export function handlersOf(majorVersion: number): readonly (Handler | undefined)[] {
  const handlers = new Array<Handler | undefined>(KIND_COUNT).fill(undefined);
  for (let info = 0; info <= 0xff; info += 0x10) handlers[kindIndexOf(NEON, info)] = refuse;
  for (const { resourceManager, info, manager, type } of recordKinds(majorVersion)) {
    const handler = HANDLERS[`${manager}/${type.replace(INIT_SUFFIX, '')}`];
    if (handler !== undefined) handlers[kindIndexOf(resourceManager, info)] = handler;
  }
  return handlers;
}

/** Only six operations of Neon's own manager are known. */
function refuse(_: IngestState, { info }: WalRecord): never {
  throw corrupt('operation of resource manager neon', undefined, 'a known one', `${info}`);
}
