/**
 * `layerfile/write-once`: small files that are replaced atomically, so that a crash leaves the old or the new content:
 * timeline metadata, tenant configurations, documents of your own.
 *
 *   import { overwriteFile, removeLeftovers, writeTimelineMetadata } from 'layerfile/write-once';
 *
 *   await removeLeftovers(directory);          // on start, before anything is written
 *   await writeTimelineMetadata(`${directory}/metadata`, {
 *     diskConsistentLsn: 0x16960e8n,
 *     prevRecordLsn: null,
 *     ancestorTimeline: null,
 *     ancestorLsn: 0n,
 *     latestGcCutoffLsn: 0x16960e0n,
 *     initdbLsn: 0x1696000n,
 *     pgVersion: 17,
 *   });
 *   await overwriteFile(`${directory}/note`, 'durable once this resolves');
 */
export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from '../errors.ts';
export type { Lsn } from '../layers/lsn.ts';
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
export type { ReadSmallFileOptions } from '../virtual-file/small-file.ts';
export { type CreateOnceOptions, createFileOnce } from '../write-once/create-once.ts';
export {
  DEFAULT_DOCUMENT_LIMITS,
  type DocumentLimitOptions,
  type DocumentLimits,
  decodeDocument,
  encodeDocument,
  readDocument,
  writeDocument,
} from '../write-once/document.ts';
export type { DocumentMap, DocumentValue } from '../write-once/document-value.ts';
export { type RemoveLeftoversOptions, removeLeftovers } from '../write-once/leftovers.ts';
export type { MsgpackLimits } from '../write-once/msgpack-limits.ts';
export { type OverwriteOptions, overwriteFile } from '../write-once/overwrite.ts';
export {
  formatTenantConfig,
  type LocationConfig,
  type LocationMode,
  type OlderTenantConfig,
  parseTenantConfig,
  readTenantConfig,
  type TenantConfig,
  writeTenantConfig,
} from '../write-once/tenant-config.ts';
export {
  decodeTimelineMetadata,
  encodeTimelineMetadata,
  readTimelineMetadata,
  TIMELINE_METADATA_FORMAT_VERSION,
  TIMELINE_METADATA_SIZE,
  type TimelineMetadata,
  type TimelineMetadataFields,
  writeTimelineMetadata,
} from '../write-once/timeline-metadata.ts';
export {
  type TimelineMetadataJson,
  timelineMetadataFromJson,
  timelineMetadataToJson,
} from '../write-once/timeline-metadata-json.ts';
export { type TomlTable, type TomlValue, tomlTable } from '../write-once/toml-value.ts';
