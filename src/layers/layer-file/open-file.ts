/** Opens a path or a source as a layer: reads and checks its first block. */
import { basename } from 'node:path';
import { type ByteSource, fileSource, heldFileSource } from '../../blob-writer/byte-source.ts';
import {
  checkChoice,
  checkLimit,
  checkOpenFiles,
  checkOptions,
  checkSignal,
  type KnownOptions,
} from '../../check-options.ts';
import { isStorageError, StorageError } from '../../errors.ts';
import { absolutePath } from '../../virtual-file/absolute-path.ts';
import { type FileStat, IO_MODES, type IoMode } from '../../virtual-file/file-system.ts';
import type { HeldFile } from '../../virtual-file/held-file.ts';
import { nodeFileSystem } from '../../virtual-file/node-file-system.ts';
import { OpenFiles } from '../../virtual-file/open-files.ts';
import { VirtualFile } from '../../virtual-file/virtual-file.ts';
import { Decompressor } from '../../zstd/decompression.ts';
import type { BlockCache } from '../disk-btree/block-cache.ts';
import { IndexBlocks } from '../disk-btree/index-blocks.ts';
import { formatLayerName, type LayerName, parseLayerName, sameLayer } from '../layer-name.ts';
import { goesOnError } from './index-location.ts';
import { checkBlockCache, type LayerInput, pathOrSource } from './layer-input.ts';
import { claimedIndex, nameOfSummary, readSummaryBlock } from './summary.ts';
import { decodeSummary, type LayerSummary } from './summary-format.ts';

/** Options for reading a layer. */
export interface ReadOptions {
  /** Descriptors to use; default: those of the process. */
  readonly openFiles?: OpenFiles | undefined;
  /**
   * Null for no cache. Default: the cache of the process, which grows up to 256 MiB of index blocks
   * and 128 MiB of blocks with small values, as lookups need them.
   */
  readonly blockCache?: BlockCache | null | undefined;
  /**
   * Maximum length of a blob after decompression, in bytes; default 256 MiB. If given, it also bounds
   * the cost of a scan: after decompressing 8 times this plus 512 times the size of the file, a scan
   * refuses further blobs as `too-large`.
   */
  readonly maximumBlobLength?: number | undefined;
  /** Maximum window of a zstd frame, in bytes; default 8 MiB. */
  readonly maximumWindowSize?: number | undefined;
  /**
   * `strict`, the default, refuses a file with the name of another layer than its summary describes.
   * `ignore` trusts the summary.
   */
  readonly nameCheck?: 'strict' | 'ignore' | undefined;
  /**
   * `sync` makes small reads synchronous: faster than a hop to a thread while the file is in the
   * system's cache, but a slow device blocks the event loop. Required by `getSync`. Default `async`.
   */
  readonly readMode?: 'async' | 'sync' | undefined;
  /**
   * `direct` makes scans bypass the system's cache, if the file system can: for files that are read
   * once. Single reads use the cache either way. Default `buffered`.
   */
  readonly ioMode?: IoMode | undefined;
  /** Ends the wait for a descriptor while the file is opened. */
  readonly signal?: AbortSignal | undefined;
}

/** All of them, by name. */
export const READ_OPTIONS: KnownOptions<ReadOptions> = {
  openFiles: true,
  blockCache: true,
  maximumBlobLength: true,
  maximumWindowSize: true,
  nameCheck: true,
  readMode: true,
  ioMode: true,
  signal: true,
};

/** A file that another thread can open for itself, with the properties that show that it is the same file. */
export interface LocalFile extends Pick<FileStat, 'size' | 'identity' | 'modificationTime'> {
  /** Absolute. */
  readonly path: string;
}

/** A source whose summary has been read. */
export interface OpenedLayer<S extends LayerSummary = LayerSummary> {
  readonly source: ByteSource;
  readonly summary: S;
  /** For another thread, unless the source or the file system is the caller's. */
  readonly localFile?: LocalFile | undefined;
  /** Closes the file; does nothing for a source of the caller's. */
  readonly close: () => Promise<void>;
}

/**
 * Opens a path or a source and reads its summary; closes the file again if that fails.
 * Throws: `not-found`, `io`, `truncated`, `corrupt`, `unsupported-version`, `invalid-input`.
 */
export async function openLayerFile(from: LayerInput, options: ReadOptions): Promise<OpenedLayer> {
  checkReadOptions(options);
  const { source, localFile, close } = await openSource(from, options);
  try {
    const summary = decodeSummary(await readSummaryBlock(source), source.path);
    const error =
      (options.nameCheck === 'ignore' ? undefined : nameError(summary, source.path)) ??
      (await goesOnError(new IndexBlocks(source, claimedIndex(summary)), summary.kind));
    if (error !== undefined) throw error;
    if (options.readMode === 'sync') await Decompressor.load();
    return { source, summary, localFile, close };
  } catch (error) {
    // The first error is thrown, here and below.
    await Promise.allSettled([close()]);
    throw error;
  }
}

/** Like `openLayerFile`, for one kind of layer. Throws `corrupt` for the other. */
export async function openLayerFileOfKind<S extends LayerSummary>(
  from: LayerInput,
  kind: S['kind'],
  options: ReadOptions,
): Promise<OpenedLayer<S>> {
  const opened = await openLayerFile(from, options);
  if (isOfKind<S>(opened, kind)) return opened;
  await Promise.allSettled([opened.close()]);
  throw new StorageError('corrupt', {
    what: 'kind of layer',
    path: opened.source.path,
    offset: 0,
    expected: kind,
    actual: opened.summary.kind,
  });
}

/** Throws `invalid-input` for a limit or a choice that is not valid. */
export function checkReadOptions(options: ReadOptions, known: KnownOptions = READ_OPTIONS): void {
  checkOptions(options, known);
  checkOpenFiles(options.openFiles);
  checkSignal(options.signal);
  checkBlockCache(options.blockCache);
  checkLimit('limit: length of a blob', options.maximumBlobLength);
  checkLimit('limit: size of a window', options.maximumWindowSize);
  checkChoice('nameCheck', options.nameCheck, ['strict', 'ignore']);
  checkChoice('readMode', options.readMode, ['async', 'sync']);
  checkChoice('ioMode', options.ioMode, IO_MODES);
}

/** The layer name at the end of a path; undefined if there is none. */
export function layerNameOf(path: string): LayerName | undefined {
  try {
    return parseLayerName(basename(path));
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
}

/** Opens a path; returns a source of the caller's unchanged. Throws: `not-found`, `io`. */
export async function openSource(
  input: LayerInput,
  { openFiles, readMode, ioMode, signal }: ReadOptions,
): Promise<Omit<OpenedLayer, 'summary'>> {
  const from = pathOrSource(input);
  if (typeof from !== 'string') return { source: from, close: async () => {} };
  const { fileSystem } = openFiles ?? OpenFiles.shared();
  const file = await VirtualFile.open(from, {
    read: true,
    content: 'immutable',
    openFiles,
    ioMode,
    signal,
  });
  const localFile = fileSystem === nodeFileSystem ? localFileOf(from, file) : undefined;
  let held: HeldFile | undefined;
  const close = (): Promise<void> => {
    held?.release();
    return file.close();
  };
  try {
    if (readMode !== 'sync') return { source: await fileSource(file), localFile, close };
    held = await file.hold();
    return { source: await heldFileSource(file, held), localFile, close };
  } catch (error) {
    await Promise.allSettled([close()]);
    throw error;
  }
}

function localFileOf(path: string, file: VirtualFile): LocalFile {
  const { size, identity, modificationTime } = file.opened;
  return { path: absolutePath(path), size, identity, modificationTime };
}

function isOfKind<S extends LayerSummary>(
  opened: OpenedLayer,
  kind: S['kind'],
): opened is OpenedLayer<S> {
  return opened.summary.kind === kind;
}

/** The error of a file with the name of another layer than its summary describes. */
export function nameError(
  summary: LayerSummary,
  path: string | undefined,
): StorageError | undefined {
  const name = path === undefined ? undefined : layerNameOf(path);
  if (name === undefined || sameLayer(name, nameOfSummary(summary))) return undefined;
  return new StorageError('corrupt', {
    what: 'summary does not match the name of the file',
    path,
    offset: 0,
    expected: formatLayerName({ ...name, generation: undefined }),
    actual: formatLayerName(nameOfSummary(summary)),
  });
}
