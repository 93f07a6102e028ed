/**
 * `layerfile/object-store`: objects in a local directory, read by ranges, listed and written.
 *
 *   import { directoryStore, isCommonPrefix, readWhole } from 'layerfile/object-store';
 *
 *   const store = directoryStore('/var/lib/neon/pageserver');
 *   for await (const item of store.list('tenants/', { delimiter: '/' })) {
 *     use(isCommonPrefix(item) ? item.prefix : item.key);
 *   }
 *   const { info, bytes } = await readWhole(store, key, { maximumLength: 64 * 1024 * 1024 });
 */
export type { ReadRange } from '../blob-writer/read-range.ts';
export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from '../errors.ts';
export { type DirectoryStoreOptions, directoryStore } from '../object-store/directory-store.ts';
export {
  type CommonPrefix,
  isCommonPrefix,
  type ObjectInfo,
  type ObjectListOptions,
  type ObjectPutOptions,
  type ObjectReadOptions,
  type ObjectRequestOptions,
  type ObjectStart,
  type ObjectStore,
  type ReadWholeOptions,
  readWhole,
} from '../object-store/object-store.ts';
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
