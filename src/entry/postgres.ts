/**
 * The meaning of keys, pages and data directories of Postgres.
 *
 *   import { explainKey, importPgdata, keyFromFieldsText } from 'layerfile/postgres';
 *
 *   const layer = await importPgdata({
 *     dataDirectory: '/var/lib/postgresql/17/main',
 *     outDirectory: 'layers',
 *     tenantId: '11223344556677881122334455667788',
 *     timelineId: '99aabbccddeeff0099aabbccddeeff00',
 *     lsn: 'auto',
 *   });
 *   const key = keyFromFieldsText(['rel=1663/5/16384', 'fork=main', 'blkno=7']);
 *   explainKey(key);   // block 7 of relation 1663/5/16384, main fork
 */

export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from '../errors.ts';
export type { Key, KeyRange } from '../layers/key.ts';
export type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
export type { Lsn } from '../layers/lsn.ts';
export type { MultixactMember, Value } from '../layers/value-format.ts';
export type { InspectedValue } from '../layers/value-inspection.ts';
export {
  CLUSTER_STATES,
  type ClusterState,
  CONTROL_FILE_PATH,
  CONTROL_FILE_SIZE,
  type ControlFile,
  decodeControlFile,
} from '../postgres/control-file.ts';
export { assertCleanShutdown, readControlFile } from '../postgres/data-directory.ts';
export {
  type DirectoryDatabase,
  type DirectoryRelation,
  decodeDatabaseDirectory,
  decodeRelationDirectory,
  decodeSlruDirectory,
  decodeTwophaseDirectory,
  encodeDatabaseDirectory,
  encodeRelationDirectory,
  encodeSlruDirectory,
  encodeTwophaseDirectory,
} from '../postgres/directory-values.ts';
export { FORK_NAMES, type Fork, type ForkName } from '../postgres/fork.ts';
export {
  type ImportedLayer,
  type ImportOptions,
  importPgdata,
  NOT_IMPORTED,
} from '../postgres/import.ts';
export { explainKey } from '../postgres/key-explanation.ts';
export { KEY_FIELDS_HELP, keyFromFieldsText, parseKeyText } from '../postgres/key-fields.ts';
export {
  auxFilesKey,
  checkpointKey,
  controlFileKey,
  type DatabaseId,
  DEFAULT_TABLESPACE_OID,
  databaseDirectoryKey,
  describeKey,
  GLOBAL_TABLESPACE_OID,
  type KeyKind,
  type KeyMeaning,
  MAXIMUM_BLOCK_NUMBER,
  type RelationForkId,
  relationBlockKey,
  relationDirectoryKey,
  relationMapKey,
  relationSizeKey,
  SLRU_NAMES,
  type SlruName,
  type SlruSegmentId,
  slruBlockKey,
  slruDirectoryKey,
  slruSizeKey,
  twophaseDirectoryKey,
  twophaseKey,
} from '../postgres/key-mapping.ts';
export type { LeftOutFile } from '../postgres/left-out.ts';
export {
  applyNeonRecord,
  isNeonRecord,
  type NeonRecord,
  type PlacedNeonRecord,
} from '../postgres/neon-records.ts';
export {
  checkPageChecksum,
  decodePageHeader,
  PAGE_SIZE,
  type PageChecksumState,
  type PageHeader,
  pageChecksum,
} from '../postgres/page.ts';
export { PageChecks, type PageCounts } from '../postgres/page-checks.ts';
export type { LeftOutReason } from '../postgres/relation-file-name.ts';
export {
  type ClusterLayout,
  type DatabaseDirectory,
  findRelationFiles,
  type RelationFiles,
  type RelationFork,
  type RelationMapFile,
} from '../postgres/relation-files.ts';
export { decodeRelationMap, type RelationMapping } from '../postgres/relation-map.ts';
export type { RelationSegment } from '../postgres/relation-segments.ts';
export { decodeRelationSize, encodeRelationSize } from '../postgres/relation-size.ts';
export type { OnProgress } from '../progress.ts';
export type {
  DirectoryEntry,
  FileKind,
  FileStat,
  FileSystem,
  IoMode,
  OpenFile,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from '../virtual-file/file-system.ts';
export type { OpenFiles, OpenFilesOptions } from '../virtual-file/open-files.ts';
export type { OwnerState, Owners } from '../virtual-file/owners.ts';
export type { Compression } from '../zstd/compression.ts';
