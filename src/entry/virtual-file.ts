/**
 * `layerfile/virtual-file`: files over a bounded table of open descriptors.
 */
export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from '../errors.ts';
// Also in the entry `layerfile/testing`, together with the functions that use them.
export type { Choose } from '../testing/choices.ts';
export type {
  FaultAction,
  FileSystemOperation,
  FileSystemOperationKind,
  Intercept,
} from '../testing/faults.ts';
export { MemoryFileSystem } from '../testing/memory-file-system.ts';
export type { MemoryFileSystemOptions } from '../testing/memory-options.ts';
export { BLOCK_SIZE } from '../virtual-file/block.ts';
export {
  type DurableRenameOptions,
  durableRename,
  publishNew,
} from '../virtual-file/durable-rename.ts';
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
export { nodeFileSystem } from '../virtual-file/node-file-system.ts';
export { OpenFiles, type OpenFilesOptions } from '../virtual-file/open-files.ts';
export type { OwnerState, Owners } from '../virtual-file/owners.ts';
export { TemporaryFile, type TemporaryFileOptions } from '../virtual-file/temporary-file.ts';
export { VirtualFile } from '../virtual-file/virtual-file.ts';
export type { VirtualFileOptions } from '../virtual-file/virtual-file-options.ts';
