/** WAL of Postgres 14 to 17: records, blocks and page images. */
export { restoreBlockImage } from '../wal/block-image.ts';
export {
  chosenHeapDialect,
  HEAP_DIALECTS,
  type HeapDialect,
  type HeapRecord,
  heapDialectOf,
  type ToldDialect,
} from '../wal/heap-dialect.ts';
export { type Checkpoint, decodeCheckpoint } from '../wal/main-data/checkpoint.ts';
export {
  type ClogTruncation,
  decodeClogTruncate,
  decodeClogZeroPage,
} from '../wal/main-data/clog.ts';
export {
  type DatabaseCopy,
  type DatabaseDrop,
  type DatabaseOperation,
  databaseOperation,
  decodeDatabaseCopy,
  decodeDatabaseCreateByLog,
  decodeDatabaseDrop,
} from '../wal/main-data/database.ts';
export type { InvalidationMessage } from '../wal/main-data/invalidation.ts';
export { decodeLogicalMessage, type LogicalMessage } from '../wal/main-data/logical-message.ts';
export type { PostgresTime } from '../wal/main-data/main-data.ts';
export {
  decodeMultixactCreate,
  decodeMultixactTruncate,
  decodeMultixactZeroPage,
  type MultixactCreation,
  type MultixactTruncation,
} from '../wal/main-data/multixact.ts';
export {
  decodeRelationMapUpdate,
  type RelationMapUpdate,
} from '../wal/main-data/relation-map.ts';
export {
  decodeOriginDrop,
  decodeOriginSet,
  type OriginProgress,
} from '../wal/main-data/replication-origin.ts';
export {
  decodeRunningTransactions,
  type RunningTransactions,
} from '../wal/main-data/running-xacts.ts';
export {
  decodeStorageCreate,
  decodeStorageTruncate,
  type StorageCreation,
  type StorageTruncation,
} from '../wal/main-data/storage.ts';
export {
  type DroppedStatistics,
  decodeAssignment,
  decodeInvalidations,
  decodePrepare,
  decodeTransactionEnd,
  type PreparedTransaction,
  type RelationFile,
  type TransactionAssignment,
  type TransactionEnd,
  type TransactionOrigin,
} from '../wal/main-data/transaction.ts';
export {
  type BlockImage,
  type BlockImageCompression,
  type BlockReference,
  decodeWalRecord,
  recordChecksum,
  WAL_RECORD_HEADER_SIZE,
  type WalRecord,
} from '../wal/record-format.ts';
export {
  type RecordKind,
  recordTypeOf,
  resourceManagerName,
  resourceManagers,
} from '../wal/resource-managers.ts';
