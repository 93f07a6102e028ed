/** The files of `manifest create` and `manifest check`, several at a time, in their order. */
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { isStorageError, StorageError, throwIfAborted } from '../errors.ts';
import { type FoundFile, kindOfName } from '../layers/find-layers.ts';
import { parseManifestName } from '../manifest/manifest-format.ts';
import { inOrder } from '../timeline/in-order.ts';
import { isOfShard, type WorkShare } from '../timeline/work-share.ts';
import type { Context } from './context.ts';
import { CLEAN, type ExitStatus, statusOfError, strongest } from './exit-status.ts';
import { foundLayers, isSearched } from './found-layers.ts';
import { formatNumberOf } from './human.ts';
import { isThere, ManifestPlaces } from './manifest-places.ts';
import { namedFiles } from './named-files.ts';
import type { RemoteOptions } from './remote-source.ts';

/** Which files. */
export interface WhichFiles extends RemoteOptions {
  readonly manifests?: string | undefined;
  readonly filesFrom?: string | undefined;
  readonly shard?: WorkShare | undefined;
  readonly jobs?: number | undefined;
  /** Whether a manifest among the arguments selects its file; by default it is skipped. */
  readonly manifestsStandFor?: 'files' | undefined;
}

/** A file to process. */
export interface RunFile {
  /** `lost`: its manifest was found, the file was not. */
  readonly kind: 'file' | 'lost';
  readonly path: string;
}

/** The result for a file, or why there is none. */
export type FileResult<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: StorageError };

export class ManifestRun {
  readonly places: ManifestPlaces;
  readonly signal: AbortSignal;
  readonly #context: Context;
  readonly #paths: readonly string[];
  readonly #options: WhichFiles;
  /** Files that were processed, or could not be. */
  fileCount = 0;
  /** Errors of directories that could not be listed. */
  status: ExitStatus = CLEAN;
  #otherCount = 0;

  /** Throws `usage` unless there are either paths or a list of them. */
  static async begin(
    context: Context,
    paths: readonly string[],
    options: WhichFiles,
  ): Promise<ManifestRun> {
    if ((paths.length === 0) === (options.filesFrom === undefined)) {
      throw new StorageError('usage', { what: 'give either paths, or --files-from' });
    }
    const places = await ManifestPlaces.create(options.manifests, options);
    return new ManifestRun(context, paths, { options, places });
  }

  private constructor(
    context: Context,
    paths: readonly string[],
    { options, places }: { readonly options: WhichFiles; readonly places: ManifestPlaces },
  ) {
    this.#context = context;
    this.signal = context.signal;
    this.#paths = paths;
    this.#options = options;
    this.places = places;
  }

  /** Calls `work` for each file. A failure is a result; `aborted` is thrown. */
  async *results<T>(work: (file: RunFile) => Promise<T>): AsyncGenerator<FileResult<T>> {
    const limit = this.#options.jobs ?? availableParallelism();
    const { reporter, signal } = this.#context;
    const look = async (file: RunFile): Promise<FileResult<T>> => {
      try {
        return { kind: 'done', value: await work(file) };
      } catch (error) {
        if (!isStorageError(error) || isStorageError(error, 'aborted')) throw error;
        return { kind: 'failed', error };
      }
    };
    for await (const result of inOrder(this.#files(), limit, look)) {
      throwIfAborted(signal);
      yield result;
    }
    if (this.#otherCount === 0) return;
    const others = formatNumberOf(this.#otherCount, 'other file', 'other files');
    reporter.warning(`${others} without the name of a layer, left out`);
  }

  async *#files(): AsyncGenerator<RunFile> {
    const { filesFrom, shard } = this.#options;
    if (filesFrom !== undefined) {
      for await (const name of namedFiles(this.#context, filesFrom, shard)) {
        this.fileCount += 1;
        yield { kind: 'file', path: name };
      }
      return;
    }
    // Listed before the layers, so that layers made in the meantime are not reported as lost.
    const awaited = await this.#awaitedLayers();
    for await (const found of foundLayers(this.#paths, this.#options, this.signal)) {
      if (found.kind === 'layer') awaited.delete(basename(found.path));
      if (found.kind === 'failed') {
        // Everything below it may still exist.
        awaited.clear();
        this.#context.reporter.error(found.error);
        this.status = strongest(this.status, statusOfError(found.error));
      }
      if (found.kind === 'other') this.#otherCount += 1;
      const file = await this.#fileOf(found);
      if (file === undefined) continue;
      if (shard !== undefined && !isOfShard(basename(file.path), shard)) continue;
      this.fileCount += 1;
      yield file;
    }
    for (const name of [...awaited].sort()) {
      if (shard !== undefined && !isOfShard(name, shard)) continue;
      this.fileCount += 1;
      yield { kind: 'lost', path: name };
    }
  }

  /**
   * Layers that have a manifest in the common place. They are expected to be found only if all arguments are searched
   * for layers: a given path may be missing because it is misspelled.
   */
  async #awaitedLayers(): Promise<Set<string>> {
    const { manifests, manifestsStandFor } = this.#options;
    if (manifests === undefined || manifestsStandFor !== 'files') return new Set();
    for (const path of this.#paths) {
      if (!(await isSearched(path, this.#options, this.signal))) return new Set();
    }
    return this.places.layersWithManifest(this.signal);
  }

  /** Undefined for files that are skipped, such as a manifest next to its file. */
  async #fileOf({ kind, path }: FoundFile): Promise<RunFile | undefined> {
    const name = basename(path);
    const ofName = parseManifestName(name);
    if (kind !== 'layer' && kind !== 'manifest') return undefined;
    if (ofName === undefined) return { kind: 'file', path };
    // A manifest next to a file, although the manifests in use are elsewhere.
    if (kind === 'manifest' && this.#options.manifests !== undefined) return undefined;
    const file = path.slice(0, path.length - name.length) + ofName;
    return kind === 'layer' ? this.#namedFile(path, file) : this.#lostFile(file);
  }

  /** The file that a given path selects if it is named like a manifest. */
  async #namedFile(path: string, file: string): Promise<RunFile | undefined> {
    // It may be any file, which can have its own manifest.
    const own = this.places.manifestOf(await this.places.fileAt(path));
    if (await isThere(own, this.signal)) return { kind: 'file', path };
    if (this.#options.manifestsStandFor === 'files') {
      if (this.#paths.includes(file)) return undefined;
      return (await this.#lostFile(file)) ?? { kind: 'file', path: file };
    }
    const isManifest = kindOfName(basename(path)) === 'manifest' || !(await this.#lostFile(file));
    return isManifest ? undefined : { kind: 'file', path };
  }

  async #lostFile(file: string): Promise<RunFile | undefined> {
    const isLost = !(await isThere(await this.places.fileAt(file), this.signal));
    return isLost ? { kind: 'lost', path: file } : undefined;
  }
}
