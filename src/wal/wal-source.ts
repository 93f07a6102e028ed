/** Where WAL is read from: files, a directory, a prefix of an object store, or bytes in memory. */
import { basename } from 'node:path';
import {
  type ByteSource,
  bytesSource,
  checkSource,
  fileSource,
} from '../blob-writer/byte-source.ts';
import {
  checkArray,
  checkBytes,
  checkCallable,
  checkObject,
  checkOpenFiles,
  checkOptions,
  checkText,
  itemsOf,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError, throwIfAborted } from '../errors.ts';
import { checkedStore } from '../object-store/foreign-store.ts';
import { objectSource } from '../object-store/object-source.ts';
import {
  checkPrefix,
  isCommonPrefix,
  type ObjectStore,
  pathOfObject,
} from '../object-store/object-store.ts';
import { pathIn } from '../virtual-file/absolute-path.ts';
import { OpenFiles } from '../virtual-file/open-files.ts';
import { VirtualFile } from '../virtual-file/virtual-file.ts';
import { parseWalFileName } from './segment-name.ts';

/** A file that has been opened. */
export interface OpenWalFile {
  /** Its bytes. */
  readonly source: ByteSource;
  /** Releases the source; called once. */
  readonly close: () => Promise<void>;
}

/** A file of a source. */
export interface WalFile {
  /** Without folders. A file with any other name is a segment if its first page shows it. */
  readonly name: string;
  /** For messages. */
  readonly path: string;
  /** Opens the file; the caller closes it. */
  readonly open: (signal: AbortSignal | undefined) => Promise<OpenWalFile>;
}

/** Where WAL is read from. */
export interface WalSource {
  /** For messages. */
  readonly path: string;
  /** The files that exist now: segments, including partial ones, and timeline histories. */
  readonly list: (signal: AbortSignal | undefined) => Promise<readonly WalFile[]>;
}

/** Options of sources on this machine. */
export interface WalSourceOptions {
  /** Descriptors to use; default: those of the process. */
  readonly openFiles?: OpenFiles | undefined;
}

const OPTIONS: KnownOptions<WalSourceOptions> = { openFiles: true };

/** Where a data directory has its WAL. */
const WAL_FOLDER = 'pg_wal';

/**
 * Segments and timeline histories, given by their paths.
 *
 * @returns A source; a file is opened when it is read.
 * @throws `invalid-input`.
 */
export function walFiles(paths: readonly string[], options: WalSourceOptions = {}): WalSource {
  const openFiles = openFilesOf(options);
  const files = Array.from(itemsOf('paths of WAL files', paths), (path) => {
    checkText('path of a WAL file', path);
    return fileAt(path, openFiles);
  });
  return { path: files.map(({ path }) => path).join(', '), list: async () => files };
}

/**
 * All WAL in a directory, such as `pg_wal` or an archive; in a data directory that of its `pg_wal`. Other
 * files are ignored.
 *
 * @returns A source; the directory is listed when the source is read.
 * @throws `invalid-input`.
 */
export function walDirectory(path: string, options: WalSourceOptions = {}): WalSource {
  checkText('path of the WAL directory', path);
  const openFiles = openFilesOf(options);
  return {
    path,
    list: async (signal) => {
      throwIfAborted(signal, path);
      const entries = await openFiles.fileSystem.readDirectory(path);
      const files = entries.filter(({ name, kind }) => kind !== 'directory' && isWalName(name));
      if (files.length === 0 && entries.some(({ name }) => name === WAL_FOLDER)) {
        return walDirectory(pathIn(path, WAL_FOLDER), options).list(signal);
      }
      return files.map(({ name }) => fileAt(pathIn(path, name), openFiles));
    },
  };
}

/**
 * All WAL below a prefix of an object store; objects with other names are ignored.
 *
 * @param prefix Beginning of the keys, such as `wal/`; the names follow, without further folders.
 * @returns A source; requests are made when the source is read.
 * @throws `invalid-input`.
 */
export function walObjects(store: ObjectStore, prefix: string): WalSource {
  const checked = checkedStore(store);
  checkPrefix(prefix);
  const folder = prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`;
  return {
    path: pathOfObject(checked, prefix),
    list: async (signal) => {
      const files: WalFile[] = [];
      for await (const item of checked.list(folder, { delimiter: '/', signal })) {
        if (isCommonPrefix(item)) continue;
        const name = item.key.slice(folder.length);
        if (isWalName(name)) files.push(objectAt(checked, item.key, name));
      }
      return files;
    },
  };
}

/**
 * One object of a store: a segment under any name.
 *
 * @returns A source; requests are made when the source is read.
 * @throws `invalid-input`.
 */
export function walObject(store: ObjectStore, key: string): WalSource {
  const checked = checkedStore(store);
  checkText('key of a WAL segment', key);
  const file = objectAt(checked, key, key.slice(key.lastIndexOf('/') + 1));
  return { path: file.path, list: async () => [file] };
}

/** A file in memory. */
export interface WalBytes {
  /** Name of the segment or history. Default: taken from the first page. */
  readonly name?: string | undefined;
  /** Must not change while they are read. */
  readonly bytes: Uint8Array;
}

/**
 * Segments and histories in memory.
 *
 * @returns A source.
 * @throws `invalid-input`.
 */
export function walBytes(files: readonly WalBytes[]): WalSource {
  const listed = Array.from(itemsOf('files of WAL', files), (file): WalFile => {
    checkObject('file of WAL', file);
    const { name = '', bytes } = file;
    checkBytes(bytes, 'WAL');
    checkText('name of a WAL file', name);
    const source = bytesSource(bytes, name === '' ? undefined : name);
    return { name, path: name, open: async () => ({ source, close: async () => {} }) };
  });
  return { path: 'memory', list: async () => listed };
}

/** Throws `invalid-input` unless the value is a source of WAL. */
export function checkWalSource(source: WalSource): void {
  if (typeof source === 'object' && source !== null && typeof source.list === 'function') return;
  throw new StorageError('invalid-input', {
    what: 'source of WAL',
    expected: 'a source, such as walDirectory(path)',
    actual: typeof source,
  });
}

/** The files of a source. Throws: `invalid-input` for what is not a list of files; as the source. */
export async function filesOf(
  source: WalSource,
  signal: AbortSignal | undefined,
): Promise<readonly WalFile[]> {
  const files = await source.list(signal);
  checkArray('files of a WAL source', files);
  for (const file of Array.from(files)) {
    checkObject('file of a WAL source', file);
    checkText('name of a WAL file', file.name);
    checkText('path of a WAL file', file.path);
    checkCallable('open of a WAL file', file.open);
  }
  return files;
}

/** Opens a file of a source. Throws: `invalid-input` for what cannot be read and closed; as the source. */
export async function openWalFile(
  file: WalFile,
  signal: AbortSignal | undefined,
): Promise<OpenWalFile> {
  const opened = await file.open(signal);
  checkObject('opened WAL file', opened);
  checkCallable('close of a WAL file', opened.close);
  try {
    checkSource(opened.source);
  } catch (error) {
    await opened.close();
    throw error;
  }
  return opened;
}

function openFilesOf(options: WalSourceOptions): OpenFiles {
  checkOptions(options, OPTIONS);
  checkOpenFiles(options.openFiles);
  return options.openFiles ?? OpenFiles.shared();
}

function isWalName(name: string): boolean {
  const parsed = parseWalFileName(name);
  return parsed !== undefined && parsed.kind !== 'backup-history';
}

function fileAt(path: string, openFiles: OpenFiles): WalFile {
  return {
    name: basename(path),
    path,
    open: async (signal) => {
      const file = await VirtualFile.open(path, { read: true, openFiles, signal });
      try {
        return { source: await fileSource(file), close: () => file.close() };
      } catch (error) {
        await file.close();
        throw error;
      }
    },
  };
}

function objectAt(store: ObjectStore, key: string, name: string): WalFile {
  return {
    name,
    path: pathOfObject(store, key),
    open: async (signal) => {
      const source = await objectSource(store, key, { signal });
      return { source, close: async () => {} };
    },
  };
}
