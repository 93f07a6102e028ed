/** From a path or a source to a layer whose first block is read and checked. */
import { basename } from 'node:path';
import { type ByteSource, fileSource, heldFileSource } from '../../blob-writer/byte-source.ts';
import { checkChoice, checkLimit } from '../../check-options.ts';
import { isStorageError, StorageError } from '../../errors.ts';
import { IO_MODES, type IoMode } from '../../virtual-file/file-system.ts';
import type { HeldFile } from '../../virtual-file/held-file.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';
import { VirtualFile } from '../../virtual-file/virtual-file.ts';
import { Decompressor } from '../../zstd/decompression.ts';
import type { BlockCache } from '../disk-btree/block-cache.ts';
import { IndexBlocks } from '../disk-btree/index-blocks.ts';
import { formatLayerName, type LayerName, parseLayerName, sameLayer } from '../layer-name.ts';
import { goesOnError } from './index-location.ts';
import { claimedIndex, nameOfSummary, readSummaryBlock } from './summary.ts';
import { decodeSummary, type LayerSummary } from './summary-format.ts';

export interface ReadOptions {
  readonly openFiles?: OpenFiles | undefined;
  /**
   * Null for none; default: the one that the process shares, which grows up to 256 MiB of index
   * blocks and 128 MiB of blocks that small values lie in, as they are looked up.
   */
  readonly blockCache?: BlockCache | null | undefined;
  /**
   * Most bytes that a blob may have after decompression; default 256 MiB. If given, it bounds the
   * cost of a scan, too: what decompresses to more than 8 times this and 512 times the file
   * altogether is refused as `too-large`.
   */
  readonly maximumBlobLength?: number | undefined;
  /** Largest window that a zstd frame may ask for; default 8 MiB. */
  readonly maximumWindowSize?: number | undefined;
  /**
   * `strict`, the default, refuses a file whose name is a layer's, but not the one that its summary
   * gives; `ignore` reads it as what its summary says.
   */
  readonly nameCheck?: 'strict' | 'ignore' | undefined;
  /**
   * `sync` does small reads synchronously: faster than a hop to a thread while the file is in the
   * system's cache, but the event loop stands still for as long as the device takes. `getSync` needs
   * it. Default `async`.
   */
  readonly reads?: 'async' | 'sync' | undefined;
  /**
   * `direct` makes scans pass by the system's cache, where the file system can: for what is read
   * once. Single reads go through the cache either way. Default `buffered`.
   */
  readonly ioMode?: IoMode | undefined;
  /** Ends the wait for a descriptor while the file is opened. */
  readonly signal?: AbortSignal | undefined;
}

/** What every reader starts from. */
export interface OpenedLayer<S extends LayerSummary = LayerSummary> {
  readonly source: ByteSource;
  readonly summary: S;
  /** Gives back what was opened here; nothing for a source of the caller's. */
  readonly close: () => Promise<void>;
}

/**
 * Opens a path or a source and reads its summary; closes the file again if that fails.
 * Throws: `not-found`, `io`, `truncated`, `corrupt`, `unsupported-version`, `invalid-input`.
 */
export async function openLayerFile(
  from: string | ByteSource,
  options: ReadOptions,
): Promise<OpenedLayer> {
  checkReadOptions(options);
  const { source, close } = await openSource(from, options);
  try {
    const summary = decodeSummary(await readSummaryBlock(source), source.path);
    const error =
      (options.nameCheck === 'ignore' ? undefined : nameError(summary, source.path)) ??
      (await goesOnError(new IndexBlocks(source, claimedIndex(summary)), summary.kind));
    if (error !== undefined) throw error;
    if (options.reads === 'sync') await Decompressor.load();
    return { source, summary, close };
  } catch (error) {
    // The first error counts, here and below.
    await Promise.allSettled([close()]);
    throw error;
  }
}

/** As `openLayerFile`, for one kind of layer. Throws `corrupt` for the other. */
export async function openLayerFileOfKind<S extends LayerSummary>(
  from: string | ByteSource,
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

/** Throws `invalid-input` for a limit that would be none, and for what is no choice. */
export function checkReadOptions(options: ReadOptions): void {
  checkLimit('limit: length of a blob', options.maximumBlobLength);
  checkLimit('limit: size of a window', options.maximumWindowSize);
  checkChoice('nameCheck', options.nameCheck, ['strict', 'ignore']);
  checkChoice('reads', options.reads, ['async', 'sync']);
  checkChoice('ioMode', options.ioMode, IO_MODES);
}

/** The layer that a path names; undefined if it names none. */
export function layerNameOf(path: string): LayerName | undefined {
  try {
    return parseLayerName(basename(path));
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
}

/** Opens a path; a source of the caller's is returned as it is. Throws: `not-found`, `io`. */
export async function openSource(
  from: string | ByteSource,
  { openFiles, reads, ioMode, signal }: ReadOptions,
): Promise<Omit<OpenedLayer, 'summary'>> {
  if (typeof from !== 'string') return { source: from, close: async () => {} };
  const file = await VirtualFile.open(from, {
    read: true,
    content: 'immutable',
    openFiles,
    ioMode,
    signal,
  });
  let held: HeldFile | undefined;
  const close = (): Promise<void> => {
    held?.release();
    return file.close();
  };
  try {
    if (reads !== 'sync') return { source: await fileSource(file), close };
    held = await file.hold();
    return { source: await heldFileSource(file, held), close };
  } catch (error) {
    await Promise.allSettled([close()]);
    throw error;
  }
}

function isOfKind<S extends LayerSummary>(
  opened: OpenedLayer,
  kind: S['kind'],
): opened is OpenedLayer<S> {
  return opened.summary.kind === kind;
}

/** What is wrong with a file that has a layer's name, but not the one that its summary gives. */
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
