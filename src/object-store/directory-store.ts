/**
 * A local directory as an object store: keys are the paths of files below it.
 *
 * A missing directory is an error, as a missing bucket is; a missing file in it is an absent object. A
 * symbolic link to a file is that file; links to directories are not followed, so that a listing ends.
 */
import { constants } from 'node:buffer';
import { stat as statFollowing } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileSource, fillRanges } from '../blob-writer/byte-source.ts';
import type { ReadRange } from '../blob-writer/read-range.ts';
import {
  checkBytes,
  checkCount,
  checkOpenFiles,
  checkOptions,
  checkText,
  type KnownOptions,
} from '../check-options.ts';
import { isStorageError, StorageError, throwIfAborted } from '../errors.ts';
import { absolutePath } from '../virtual-file/absolute-path.ts';
import { DurableDirectories, makeDirectories } from '../virtual-file/durable-directories.ts';
import { publishNew } from '../virtual-file/durable-rename.ts';
import type { DirectoryEntry, FileStat } from '../virtual-file/file-system.ts';
import { temporaryName } from '../virtual-file/leftover-names.ts';
import { byBytesOf } from '../virtual-file/name-order.ts';
import { nodeFileSystem } from '../virtual-file/node-file-system.ts';
import { OpenFiles } from '../virtual-file/open-files.ts';
import { createUnique } from '../virtual-file/unique-file.ts';
import { VirtualFile } from '../virtual-file/virtual-file.ts';
import { overwriteFile } from '../write-once/overwrite.ts';
import { trustStore } from './foreign-store.ts';
import {
  badKey,
  type CommonPrefix,
  changedError,
  checkKeyOfObject,
  checkPrefix,
  checkPutOptions,
  checkRanges,
  checkRequestOptions,
  endsEarly,
  notFoundError,
  type ObjectInfo,
  type ObjectListOptions,
  type ObjectPutOptions,
  type ObjectReadOptions,
  type ObjectRequestOptions,
  type ObjectStart,
  type ObjectStore,
  pathOfObject,
  replacedError,
} from './object-store.ts';
import { type LocalFileOptions, piecesOf } from './put-file.ts';

/** Options of `directoryStore`. */
export interface DirectoryStoreOptions {
  /** Descriptors to use; default: those of the process. */
  readonly openFiles?: OpenFiles | undefined;
}

const OPTIONS: KnownOptions<DirectoryStoreOptions> = { openFiles: true };

/** Number of files that a listing looks up concurrently. */
const STATS_TOGETHER = 64;

/** For files on this machine: reading half a block is faster than a second call. */
const MAXIMUM_GAP = 4096;

/**
 * Makes a store of a directory, which need not exist before the first `put`. Its subdirectories are
 * made by `put` as needed; a delimiter groups by them, even by empty ones.
 *
 * Durability: a `put` that has resolved survives a crash, including the directories above the object. If a `put`
 * rejects with `exists`, the object that was there survives as well.
 * @param directory A relative path is resolved now.
 * @throws `invalid-input`, `not-found` (the working directory is gone).
 *
 * @example
 * const store = directoryStore('/var/lib/neon/pageserver');
 * for await (const item of store.list('tenants/', { delimiter: '/' })) use(item);
 */
export function directoryStore(
  directory: string,
  options: DirectoryStoreOptions = {},
): ObjectStore {
  checkText('directory', directory);
  if (directory === '') throw badKey(directory, 'the path of a directory');
  checkOptions(options, OPTIONS);
  checkOpenFiles(options.openFiles);
  return new DirectoryStore(directory, options.openFiles ?? OpenFiles.shared());
}

class DirectoryStore implements ObjectStore {
  readonly name: string;
  readonly maximumGap = MAXIMUM_GAP;
  /** Absolute, without a slash at the end. */
  readonly #root: string;
  readonly #openFiles: OpenFiles;
  readonly #directories: DurableDirectories;

  constructor(directory: string, openFiles: OpenFiles) {
    trustStore(this);
    this.name = directory;
    this.#root = absolutePath(directory).replace(/\/+$/, '');
    this.#openFiles = openFiles;
    this.#directories = new DurableDirectories(this.#root || '/', openFiles);
  }

  async readRanges(
    key: string,
    ranges: readonly ReadRange[],
    options: ObjectReadOptions = {},
  ): Promise<void> {
    checkRanges(ranges);
    await this.#read(key, options, async (file, { size }) => {
      for (const { target, offset } of ranges) {
        const end = offset + target.length;
        if (end > size) throw endsEarly(this.#pathOf(key), size, end);
      }
      await fillRanges(await fileSource(file), ranges, { signal: options.signal });
    });
  }

  async readStart(
    key: string,
    length: number,
    options: ObjectReadOptions = {},
  ): Promise<ObjectStart> {
    checkCount('length', length, { from: 1 });
    return this.#read(key, options, async (file, info) => {
      const wanted = Math.min(length, info.size, constants.MAX_LENGTH);
      const bytes = new Uint8Array(wanted);
      const read = await file.readAt(bytes, 0);
      if (read < wanted) throw endsEarly(this.#pathOf(key), read, wanted);
      return { info, bytes };
    });
  }

  async *list(
    prefix: string,
    options: ObjectListOptions = {},
  ): AsyncGenerator<ObjectInfo | CommonPrefix, void, undefined> {
    checkPrefix(prefix);
    checkRequestOptions(options);
    const directory = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    // A file cannot have such a name.
    if (directory !== '' && hasUnfitPart(directory.slice(0, -1))) return;
    yield* this.#listBelow(directory, prefix, options);
  }

  async head(key: string, options: ObjectRequestOptions = {}): Promise<ObjectInfo | undefined> {
    checkFileKey(key);
    checkRequestOptions(options);
    return this.#failingWith(key, async () => {
      throwIfAborted(options.signal);
      const found = await this.#statOf(this.#fileOf(key));
      if (found !== undefined) return found === 'directory' ? undefined : infoOf(key, found);
      await this.#checkRoot();
      return undefined;
    });
  }

  async put(key: string, bytes: Uint8Array, options: ObjectPutOptions = {}): Promise<ObjectInfo> {
    checkFileKey(key);
    checkBytes(bytes, 'bytes of the object');
    checkPutOptions(options);
    return this.#writing(key, () =>
      options.ifAbsent
        ? this.#create(key, (file) => file.writeAllAt(bytes, 0), options)
        : this.#replace(key, bytes, options),
    );
  }

  async putFile(
    key: string,
    file: string,
    options: ObjectRequestOptions = {},
  ): Promise<ObjectInfo> {
    checkFileKey(key);
    checkText('file', file);
    checkRequestOptions(options);
    return this.#writing(key, () => this.#link(absolutePath(file), key, options));
  }

  /** Writes; if a directory is missing, makes the directories and writes again. */
  async #writing(key: string, write: () => Promise<void>): Promise<ObjectInfo> {
    const directory = dirname(this.#fileOf(key));
    await this.#failingWith(key, async () => {
      try {
        await this.#writeOrMake(directory, write);
      } catch (error) {
        // The process that wrote the object may have ended before it synced the name.
        if (isStorageError(error, 'exists')) {
          await this.#openFiles.syncDirectory(directory);
          await this.#directories.sync(directory);
        }
        throw error;
      }
      await this.#directories.sync(directory);
    });
    const info = await this.head(key);
    if (info !== undefined) return info;
    throw new StorageError('changed', { what: 'object vanished', path: this.#pathOf(key) });
  }

  async #writeOrMake(directory: string, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (!isStorageError(error, 'not-found')) throw error;
      await makeDirectories(directory, this.#openFiles);
      await write();
    }
  }

  async #replace(
    key: string,
    bytes: Uint8Array,
    { ifMatch, signal }: ObjectPutOptions,
  ): Promise<void> {
    if (ifMatch !== undefined) {
      const info = await this.head(key, { signal });
      if (info?.etag !== ifMatch) throw replacedError(this.#pathOf(key), ifMatch, info?.etag);
    }
    await overwriteFile(this.#fileOf(key), bytes, { openFiles: this.#openFiles, signal });
  }

  /** Copies the file if it cannot be linked: on another file system, or on one without links. */
  async #link(source: string, key: string, { signal }: ObjectRequestOptions): Promise<void> {
    const openFiles = this.#openFiles;
    const target = this.#fileOf(key);
    throwIfAborted(signal);
    try {
      await openFiles.report(openFiles.fileSystem.link(source, target));
    } catch (error) {
      if (isStorageError(error, 'exists', 'not-found')) throw error;
      await this.#create(key, (file) => copyFile(source, file, { openFiles, signal }), { signal });
      return;
    }
    await openFiles.syncDirectory(dirname(target));
  }

  async #create(
    key: string,
    write: (file: VirtualFile) => Promise<void>,
    { signal }: ObjectPutOptions,
  ): Promise<void> {
    const openFiles = this.#openFiles;
    const target = this.#fileOf(key);
    const directory = dirname(target);
    const name = target.slice(directory.length + 1);
    const pathOf = (token: string): string => `${directory}/${temporaryName(name, token)}`;
    const temporary = await createUnique(pathOf, { openFiles, signal });
    try {
      await write(temporary.file);
      throwIfAborted(signal);
      await publishNew(temporary, target);
    } catch (error) {
      // The first error is thrown.
      await Promise.allSettled([temporary.abandon()]);
      throw error;
    }
    await temporary.abandon();
  }

  /** Opens the file for one read; refuses content other than expected, both before and after. */
  async #read<T>(
    key: string,
    options: ObjectReadOptions,
    read: (file: VirtualFile, info: ObjectInfo) => Promise<T>,
  ): Promise<T> {
    checkFileKey(key);
    checkRequestOptions(options);
    const { signal, etag } = options;
    return this.#failingWith(key, async () => {
      const file = await this.#open(key, signal);
      try {
        const info = infoOf(key, await file.stat());
        this.#checkEtag(info, etag);
        const result = await read(file, info);
        throwIfAborted(signal);
        if (etag !== undefined) this.#checkEtag(infoOf(key, await file.stat()), etag);
        return result;
      } finally {
        await file.close();
      }
    });
  }

  async #open(key: string, signal: AbortSignal | undefined): Promise<VirtualFile> {
    const path = this.#fileOf(key);
    const openFiles = this.#openFiles;
    try {
      return await VirtualFile.open(path, { read: true, content: 'immutable', openFiles, signal });
    } catch (error) {
      if (!isAbsence(error) && !(await this.#isDirectory(path))) throw error;
      await this.#checkRoot();
      throw notFoundError(this.#pathOf(key), error);
    }
  }

  #checkEtag(info: ObjectInfo, etag: string | undefined): void {
    if (etag === undefined || info.etag === etag) return;
    throw changedError(this.#pathOf(info.key), etag, info.etag);
  }

  async *#listBelow(
    directory: string,
    prefix: string,
    options: ObjectListOptions,
  ): AsyncGenerator<ObjectInfo | CommonPrefix, void, undefined> {
    const entries = await this.#entriesOf(directory);
    const named = entries
      .filter(({ kind }) => kind !== 'other')
      // A directory sorts like its keys, which continue with a slash.
      .map(({ name, kind }) => directory + (kind === 'directory' ? `${name}/` : name))
      .filter((name) => name.startsWith(prefix))
      .sort(byBytesOf((name) => name));
    for (let first = 0; first < named.length; first += STATS_TOGETHER) {
      throwIfAborted(options.signal, this.#pathOf(directory));
      const names = named.slice(first, first + STATS_TOGETHER);
      const infos = await Promise.all(names.map((name) => this.#infoOfListed(name)));
      for (const [number, name] of names.entries()) {
        const info = infos[number];
        if (info !== undefined) yield info;
        if (!name.endsWith('/')) continue;
        if (options.delimiter === undefined) yield* this.#listBelow(name, prefix, options);
        else yield { prefix: name };
      }
    }
  }

  /** Undefined for a directory, a deleted file or a dangling link. */
  async #infoOfListed(key: string): Promise<ObjectInfo | undefined> {
    if (key.endsWith('/')) return undefined;
    const found = await this.#failingWith(key, () => this.#statOf(this.#fileOf(key)));
    return found === undefined || found === 'directory' ? undefined : infoOf(key, found);
  }

  async #entriesOf(directory: string): Promise<readonly DirectoryEntry[]> {
    const { fileSystem } = this.#openFiles;
    return this.#failingWith(directory, async () => {
      try {
        return await fileSystem.readDirectory(this.#fileOf(directory).replace(/\/+$/, '') || '/');
      } catch (error) {
        if (!isAbsence(error)) throw error;
        await this.#checkRoot();
        return [];
      }
    });
  }

  /** Follows a symbolic link. Undefined if there is nothing; throws `io` for a FIFO or device. */
  async #statOf(path: string): Promise<FileStat | 'directory' | undefined> {
    const openFiles = this.#openFiles;
    try {
      const found = await openFiles.fileSystem.stat(path);
      if (found.kind === 'file') return found;
      if (found.kind === 'directory' || (await this.#isDirectory(path))) return 'directory';
      const file = await VirtualFile.open(path, { read: true, content: 'immutable', openFiles });
      try {
        return await file.stat();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw error;
    }
  }

  /** Follows links of the real file system. */
  async #isDirectory(path: string): Promise<boolean> {
    if (this.#openFiles.fileSystem !== nodeFileSystem) return false;
    return statFollowing(path).then(
      (found) => found.isDirectory(),
      () => false,
    );
  }

  /**
   * Throws `io` if the directory of the store is missing: then nothing is known about its objects.
   */
  async #checkRoot(): Promise<void> {
    const found = await this.#statOf(this.#root === '' ? '/' : this.#root);
    if (found === 'directory') return;
    const actual = found === undefined ? 'nothing' : 'a file';
    const what = 'directory of the store';
    throw new StorageError('io', { what, path: this.name, expected: 'a directory', actual });
  }

  async #failingWith<T>(key: string, operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      if (!isStorageError(error) || error.path === this.name) throw error;
      throw error.with({ path: this.#pathOf(key) });
    }
  }

  #fileOf(key: string): string {
    return `${this.#root}/${key}`;
  }

  #pathOf(key: string): string {
    return pathOfObject(this, key);
  }
}

/** Writes the bytes of one file into another, which is empty. */
async function copyFile(
  source: string,
  target: VirtualFile,
  options: LocalFileOptions,
): Promise<void> {
  let offset = 0;
  for await (const piece of piecesOf(source, options)) {
    await target.writeAllAt(piece, offset);
    offset += piece.length;
  }
}

function infoOf(key: string, { size, identity, modificationTime }: FileStat): ObjectInfo {
  const etag = `${identity}-${size}-${modificationTime ?? ''}`;
  if (modificationTime === undefined) return { key, size, etag };
  return { key, size, etag, modified: new Date(Number(modificationTime / 1_000_000n)) };
}

/** The path does not exist, or a file has the name of one of its directories. */
function isAbsence(error: unknown): boolean {
  return isStorageError(error) && (error.code === 'not-found' || error.errno === 'ENOTDIR');
}

/** A key that leads out of the directory, or that cannot be a file name. */
function checkFileKey(key: unknown): asserts key is string {
  checkKeyOfObject(key);
  if (hasUnfitPart(key)) throw badKey(key, "parts other than '', '.' and '..'");
}

function hasUnfitPart(key: string): boolean {
  return key.split('/').some((part) => part === '' || part === '.' || part === '..');
}
