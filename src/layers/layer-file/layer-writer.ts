/**
 * Writes the file of a layer of either kind: into a temporary file, first the values, after a free
 * block; then the index; then the summary into the free block; then a sync, and the final name.
 *
 * The temporary file is deleted by `abandon` and by every error of `finish`. Only a complete, synced
 * file gets the final name, and it never replaces another one.
 */

import { dirname } from 'node:path';
import { assert } from '../../assert.ts';
import { BlobWriter } from '../../blob-writer/blob-writer.ts';
import { BufferedWriter } from '../../blob-writer/buffered-writer.ts';
import {
  checkChoice,
  checkFlag,
  checkObject,
  checkOpenFiles,
  checkOptions,
  checkSignal,
  checkText,
  type KnownOptions,
} from '../../check-options.ts';
import { isStorageError, type Outcome, StorageError } from '../../errors.ts';
import { absolutePath, pathIn } from '../../virtual-file/absolute-path.ts';
import { BLOCK_SIZE, blocksFor } from '../../virtual-file/block.ts';
import { publishNew, refuseExisting } from '../../virtual-file/durable-rename.ts';
import type { IoMode } from '../../virtual-file/file-system.ts';
import { OpenFiles } from '../../virtual-file/open-files.ts';
import type { TemporaryFile } from '../../virtual-file/temporary-file.ts';
import { createUnique } from '../../virtual-file/unique-file.ts';
import { DiskBtreeBuilder } from '../disk-btree/builder.ts';
import { parseIdentifier } from '../identifier.ts';
import { checkKeyRange, type KeyRange } from '../key.ts';
import { checkGeneration, formatLayerName, type LayerName } from '../layer-name.ts';
import { formatIndexScratchName, formatTemporaryName } from '../temporary-names.ts';
import { IndexStore } from './index-store.ts';
import { LayerManifest, refuseManifest } from './layer-manifest.ts';

/** Options for writing a layer of either kind. */
export interface WriteOptions {
  /** Directory of the layer; must exist. */
  readonly directory: string;
  /** 32 hex digits. */
  readonly tenantId: string;
  /** 32 hex digits. */
  readonly timelineId: string;
  /** 8 hex digits, for the file name; none by default. */
  readonly generation?: string | undefined;
  /** Descriptors to use; default: those of the process. */
  readonly openFiles?: OpenFiles | undefined;
  /** Once aborted, every call fails with `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /** Bytes of each of the two write buffers; default 1 MiB. */
  readonly bufferSize?: number | undefined;
  /**
   * `direct` makes writes of full buffers bypass the system's cache, if the file system can: large
   * layers are written faster, and evict nothing from the cache. Default `buffered`.
   */
  readonly ioMode?: IoMode | undefined;
  /**
   * Bytes between background syncs, so that the sync at the end has little left to do. Default 16 MiB, or 8 MiB for
   * compressed images; no such syncs with `direct`.
   */
  readonly syncEvery?: number | undefined;
  /** Bytes of index blocks kept in memory; more go to a scratch file. Default 16 MiB. */
  readonly indexMemoryLimit?: number | undefined;
  /**
   * `strict`, the default, refuses keys that a pageserver cannot hold: it would stop when it loads
   * the layer. `ignore` accepts them, for layers that are made to test readers.
   */
  readonly keyCheck?: 'strict' | 'ignore' | undefined;
  /**
   * Whether to write a manifest next to the layer: checksums of its blocks and its SHA-256, with which `checkManifest`
   * finds any change. Default false.
   */
  readonly manifest?: boolean | undefined;
}

/** All of them, by name. */
export const WRITE_OPTIONS: KnownOptions<WriteOptions> = {
  directory: true,
  tenantId: true,
  timelineId: true,
  generation: true,
  openFiles: true,
  signal: true,
  bufferSize: true,
  ioMode: true,
  syncEvery: true,
  indexMemoryLimit: true,
  keyCheck: true,
  manifest: true,
};

/** Checks the options that all writers of layers share. Throws `invalid-input` with the name of the option. */
export function checkWriteOptions(
  options: WriteOptions & { readonly keyRange: KeyRange },
  known: KnownOptions,
): void {
  checkOptions(options, known);
  checkText('directory', options.directory);
  parseIdentifier(options.tenantId, 'tenantId');
  parseIdentifier(options.timelineId, 'timelineId');
  checkOpenFiles(options.openFiles);
  checkSignal(options.signal);
  checkFlag('manifest', options.manifest);
  checkObject('keyRange', options.keyRange);
  checkKeyRange(options.keyRange);
}

/** A layer that has been published. */
export interface FinishedLayer {
  /** Path of the file, with the directory as the caller gave it. */
  readonly path: string;
  /** Name of the file. */
  readonly name: string;
  /** Path of the manifest, if there is one. */
  readonly manifestPath?: string | undefined;
  /** Bytes of the file. */
  readonly size: number;
  /** Number of entries. */
  readonly entryCount: number;
  /** Block of the file where the index starts. */
  readonly indexStartBlock: number;
  /** The root, relative to `indexStartBlock`. */
  readonly indexRootBlock: number;
}

/** Where the index lies, for the summary. */
export interface IndexPlace {
  readonly indexStartBlock: number;
  readonly indexRootBlock: number;
}

/** How a kind of layer ends its file. */
export interface LayerEnd {
  readonly encodeSummary: (place: IndexPlace) => Uint8Array;
  /** Completes waiting puts, once no more are accepted. */
  readonly lastPuts?: (() => Promise<void>) | undefined;
  /** Replaces the name with which the file was created. */
  readonly name?: LayerName | undefined;
}

/** Properties of a kind of layer. */
interface EntryTraits {
  readonly keySize: number;
  /** Overrides the default of `syncEvery`. */
  readonly usualSyncEvery?: number | undefined;
  /** `at-finish`: the name may still change, so that nothing is refused for it before. */
  readonly naming?: 'now' | 'at-finish' | undefined;
}

export class LayerFileWriter {
  readonly blobs: BlobWriter;
  readonly index: DiskBtreeBuilder;
  #file: NamedFile;
  readonly #options: WriteOptions;
  readonly #temporary: TemporaryFile;
  readonly #out: BufferedWriter;
  readonly #indexStore: IndexStore;
  readonly #manifest: LayerManifest | undefined;
  #state: 'open' | 'finishing' | 'finished' | 'failed' | 'abandoned' = 'open';
  /** Resolves when a `finish` under way has succeeded or failed. */
  #settled: Promise<void> | undefined;
  /** What is known to be on disk. */
  #outcome: Outcome = 'not-applied';

  static async create(
    name: LayerName,
    entries: EntryTraits,
    options: WriteOptions,
  ): Promise<LayerFileWriter> {
    const { directory, generation, openFiles = OpenFiles.shared() } = options;
    checkText('directory', directory);
    checkGeneration(generation);
    checkChoice('keyCheck', options.keyCheck, ['strict', 'ignore']);
    const file = fileNamed(name, options);
    const temporaryDirectory = absolutePath(directory);
    if (entries.naming !== 'at-finish') {
      await refuseExisting(openFiles, file);
      if (options.manifest === true) await refuseManifest(openFiles, file);
    }
    const temporary = await createTemporary(name, { ...options, directory: temporaryDirectory });
    try {
      return new LayerFileWriter(temporary, { name, file, ...entries, options });
    } catch (error) {
      await ignoringStorageErrors(temporary.abandon());
      throw error;
    }
  }

  private constructor(
    temporary: TemporaryFile,
    layer: EntryTraits & {
      readonly name: LayerName;
      readonly file: NamedFile;
      readonly options: WriteOptions;
    },
  ) {
    const { signal, bufferSize, syncEvery = defaultSyncEvery(temporary, layer) } = layer.options;
    this.#file = layer.file;
    this.#options = layer.options;
    this.#temporary = temporary;
    const manifest = layer.options.manifest === true ? new LayerManifest() : undefined;
    this.#manifest = manifest;
    this.#out = new BufferedWriter(temporary.file, {
      startOffset: BLOCK_SIZE,
      onWrite: manifest && ((bytes, offset) => manifest.add(bytes, offset)),
      bufferSize,
      syncEvery,
      signal,
    });
    this.blobs = new BlobWriter(this.#out);
    this.#indexStore = new IndexStore({
      createScratch: () => createIndexScratch(layer.name, temporary, signal),
      memoryLimit: layer.options.indexMemoryLimit,
    });
    this.index = new DiskBtreeBuilder(layer.keySize, (block) => this.#indexStore.add(block));
  }

  /** As the caller gave the directory. */
  get path(): string {
    return this.#file.path;
  }

  /** Bytes of values and finished index blocks: what a pageserver compares with a target size. */
  get writtenSize(): number {
    return this.blobs.offset + this.#indexStore.blockCount * BLOCK_SIZE;
  }

  /** Size of the file if it were finished now, in bytes. */
  get estimatedSize(): number {
    const indexBlocks = this.#indexStore.blockCount + this.index.openBlockCount;
    return (blocksFor(this.blobs.offset) + indexBlocks) * BLOCK_SIZE;
  }

  /** Undefined while the index has room in memory; else a promise for it. */
  get indexRoom(): Promise<void> | undefined {
    const { room } = this.#indexStore;
    // If not awaited, a failure surfaces in `finish`.
    room?.catch(() => {});
    return room;
  }

  throwUnlessOpen(): void {
    if (this.#state !== 'open') throw this.#closedError();
  }

  /**
   * Writes index and summary, syncs, and takes the final name.
   *
   * Throws: `empty`, `exists`, `aborted`, `io`, `sync-failed`; `outcome` states what is on disk. Unless
   * that is `durable` or `in-doubt`, nothing is left. A second call throws `closed`, after the first
   * has ended and with its outcome.
   * Durability: once this resolves, the complete layer survives a crash under its final name.
   */
  async finish({ encodeSummary, lastPuts, name }: LayerEnd): Promise<FinishedLayer> {
    if (this.#state !== 'open') return this.#refuseToFinish();
    this.#state = 'finishing';
    if (name !== undefined) this.#file = fileRenamed(this.#file, name, this.#options);
    const finishing = this.#finish(encodeSummary, lastPuts);
    const ignore = (): void => {};
    this.#settled = finishing.then(ignore, ignore);
    return finishing;
  }

  /**
   * Deletes the temporary file. Idempotent. Waits for a `finish` under way, because what is on disk
   * would be unknown otherwise; does nothing after a `finish`, successful or not.
   */
  async abandon(): Promise<void> {
    if (this.#state === 'open') this.#state = 'abandoned';
    await this.#settled;
    if (this.#state !== 'abandoned') return;
    await this.#cleanUp();
  }

  /** Like `abandon`, but ignores its errors, so that they cannot hide an earlier one. */
  async [Symbol.asyncDispose](): Promise<void> {
    await ignoringStorageErrors(this.abandon());
  }

  async #finish(
    encodeSummary: LayerEnd['encodeSummary'],
    lastPuts: LayerEnd['lastPuts'],
  ): Promise<FinishedLayer> {
    const written = await this.#orFail(async () => {
      await lastPuts?.();
      this.#throwIfEmpty();
      const place = await this.#writeIndex();
      const end = { kind: 'zero-pad', multiple: BLOCK_SIZE } as const;
      const size = await this.#out.finish(end, encodeSummary(place));
      await this.#manifest?.prepare(this.#temporary, this.#file, this.#options.signal);
      this.#outcome = 'in-doubt';
      await publishNew(this.#temporary, this.#file.target);
      this.#outcome = 'durable';
      return { size, ...place };
    });
    this.#state = 'finished';
    let manifestPath: string | undefined;
    try {
      try {
        manifestPath = await this.#manifest?.publish(this.#file);
      } finally {
        await this.#temporary.abandon();
      }
    } catch (error) {
      throw this.#withOutcome(error);
    }
    const { path, name } = this.#file;
    const layer = { path, name, entryCount: this.index.entryCount, ...written };
    return manifestPath === undefined ? layer : { ...layer, manifestPath };
  }

  /** Cleans up after a failure, and throws that failure, whether or not cleaning up succeeds. */
  async #orFail<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      if (isStorageError(error)) this.#outcome = error.outcome ?? 'not-applied';
      this.#state = 'failed';
      await ignoringStorageErrors(this.#cleanUp());
      throw this.#withOutcome(error);
    }
  }

  async #cleanUp(): Promise<void> {
    try {
      await this.#out.abandon();
      await this.#indexStore.close();
      await this.#manifest?.abandon();
    } finally {
      await this.#temporary.abandon();
    }
  }

  #closedError(): StorageError {
    return new StorageError('closed', { what: `layer writer is ${this.#state}`, path: this.path });
  }

  #withOutcome(error: unknown): unknown {
    if (!isStorageError(error)) return error;
    const path = error.path === this.#file.target ? this.path : error.path;
    return error.with({ path, outcome: this.#outcome });
  }

  /** Waits for a `finish` under way, because its outcome is part of the error. */
  async #refuseToFinish(): Promise<never> {
    await this.#settled;
    throw this.#withOutcome(this.#closedError());
  }

  #throwIfEmpty(): void {
    if (this.index.entryCount > 0) return;
    // It may be empty because every put failed: then report that failure.
    this.#out.throwIfFailed();
    throw new StorageError('empty', { what: 'layer without entries', path: this.path });
  }

  async #writeIndex(): Promise<IndexPlace> {
    const indexRootBlock = this.index.finish();
    // Unawaited puts may have filled the queue of appends: more would be refused.
    await this.#out.flushed();
    await this.#out.pad(BLOCK_SIZE);
    const indexStartBlock = this.#out.offset / BLOCK_SIZE;
    for await (const chunk of this.#indexStore.chunks()) await this.#out.append(chunk);
    await this.#indexStore.close();
    const end = (indexStartBlock + indexRootBlock + 1) * BLOCK_SIZE;
    assert(this.#out.offset === end, 'the root is the last block of the file');
    return { indexStartBlock, indexRootBlock };
  }
}

/** A layer's file under its final name. */
interface NamedFile {
  readonly name: string;
  /** As the caller gave the directory. */
  readonly path: string;
  /** The path from the root. */
  readonly target: string;
}

function fileNamed(layer: LayerName, { directory, generation }: WriteOptions): NamedFile {
  const name = formatLayerName({ ...layer, generation });
  const path = pathIn(directory, name);
  return { name, path, target: absolutePath(path) };
}

/** In the directory where the file was begun, even if the working directory of the process has changed. */
function fileRenamed(
  { target }: NamedFile,
  layer: LayerName,
  { directory, generation }: WriteOptions,
): NamedFile {
  const name = formatLayerName({ ...layer, generation });
  return { name, path: pathIn(directory, name), target: pathIn(dirname(target), name) };
}

const SYNC_EVERY = 16 * 1024 * 1024;

/** Direct writes reach the device without a sync. */
function defaultSyncEvery(
  { file }: TemporaryFile,
  { usualSyncEvery = SYNC_EVERY }: EntryTraits,
): number | undefined {
  return file.ioMode === 'direct' ? undefined : usualSyncEvery;
}

/** For cleaning up: a file that cannot be deleted now is removed later as a leftover. */
async function ignoringStorageErrors(cleanUp: Promise<void>): Promise<void> {
  try {
    await cleanUp;
  } catch (error) {
    if (!isStorageError(error)) throw error;
  }
}

/** Writers of the same layer may run concurrently: each has its own token. */
async function createTemporary(
  name: LayerName,
  { directory, openFiles, ioMode, signal }: WriteOptions,
): Promise<TemporaryFile> {
  const pathOf = (token: string): string => pathIn(directory, formatTemporaryName(name, token));
  try {
    return await createUnique(pathOf, { openFiles, ioMode, signal });
  } catch (error) {
    // The caller knows the directory, not the name in it.
    if (!isStorageError(error, 'not-found')) throw error;
    throw error.with({ what: 'no such directory for the layer', path: directory });
  }
}

function createIndexScratch(
  name: LayerName,
  { path, file: { openFiles } }: TemporaryFile,
  signal: AbortSignal | undefined,
): Promise<TemporaryFile> {
  const pathOf = (token: string): string =>
    `${dirname(path)}/${formatIndexScratchName(name, token)}`;
  return createUnique(pathOf, { openFiles, durability: 'scratch', signal });
}
