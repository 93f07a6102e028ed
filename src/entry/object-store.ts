/**
 * `layerfile/object-store`: objects in a bucket of S3, in a local directory or on a web server, read by
 * ranges, listed and written; and the source through which layers are read from there.
 *
 *   import { openLayer } from 'layerfile';
 *   import { isCommonPrefix, objectSource, readWhole, s3Store } from 'layerfile/object-store';
 *
 *   const store = s3Store({ bucket: 'neon', prefix: 'pageserver/v1' });
 *   for await (const item of store.list('tenants/', { delimiter: '/' })) {
 *     use(isCommonPrefix(item) ? item.prefix : item.key);
 *   }
 *   await using reader = await openLayer(await objectSource(store, keyOfLayer));
 *   const { info, bytes } = await readWhole(store, key, { maximumLength: 64 * 1024 * 1024 });
 */
export type { ByteSource, ReadRangesOptions } from '../blob-writer/byte-source.ts';
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
export type { NetworkOptions } from '../object-store/http-client.ts';
export {
  type HttpObject,
  type HttpStoreOptions,
  httpObject,
  httpStore,
} from '../object-store/http-store.ts';
export { type ObjectSource, objectSource } from '../object-store/object-source.ts';
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
} from '../object-store/object-store.ts';
export { type ReadWholeOptions, readWhole } from '../object-store/read-whole.ts';
export type { RetryOptions } from '../object-store/retry.ts';
export type { S3CredentialProvider, S3Credentials } from '../object-store/s3-settings.ts';
export { type S3StoreOptions, s3Store } from '../object-store/s3-store.ts';
export {
  type SdkClient,
  type SdkCommand,
  type SdkCommands,
  type SdkStoreOptions,
  sdkStore,
} from '../object-store/sdk-store.ts';
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
