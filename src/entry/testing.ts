/**
 * `layerfile/testing`: an in-memory file system that fails and crashes on demand, for tests of code
 * that must not lose data. It implements `FileSystem` of `layerfile/virtual-file`, so the writers and
 * readers of this package run on it, and so does a store of your own that is written against that
 * interface.
 *
 *   import { overwriteFile } from 'layerfile/write-once';
 *   import { crashStates, MemoryFileSystem } from 'layerfile/testing';
 *   import { OpenFiles } from 'layerfile/virtual-file';
 *
 *   const disk = new MemoryFileSystem();
 *   disk.createDirectory('/data');
 *   await overwriteFile('/data/note', 'kept', { openFiles: new OpenFiles({ fileSystem: disk }) });
 *   for (const { disk: after } of crashStates(disk)) after.contentOf('/data/note');   // always 'kept'
 */
export {
  type Choose,
  everyChoice,
  loseEverything,
  loseNothing,
  seededChoices,
} from '../testing/choices.ts';
export {
  type CrashState,
  type CrashStatesOptions,
  crashStates,
  replayCrash,
} from '../testing/crash-states.ts';
export type {
  FaultAction,
  FileSystemOperation,
  FileSystemOperationKind,
  Intercept,
} from '../testing/faults.ts';
export { MemoryFileSystem } from '../testing/memory-file-system.ts';
export type { MemoryFileSystemOptions } from '../testing/memory-options.ts';
export type {
  DirectoryEntry,
  FileKind,
  FileStat,
  FileSystem,
  OpenFile,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from '../virtual-file/file-system.ts';
export type { OwnerState, Owners } from '../virtual-file/owners.ts';
