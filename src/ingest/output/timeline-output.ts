/**
 * Where a new or continued timeline goes: a directory or a bucket in the layout of remote storage.
 *
 *   tenants/{T}[-{NNCC}]/timelines/{TL}/{layer}-{generation}            first, in any order
 *   tenants/{T}[-{NNCC}]/timelines/{TL}/index_part.json-{generation}    after all layers that it names
 *   tenants/{T}[-{NNCC}]/tenant-manifest-{generation}.json
 *
 * A timeline exists if and only if an index does. So the index is the commit point: it is written only when each layer
 * that it names is durable, and no crash leaves an index with a missing layer. Layers are never replaced: an existing
 * layer with the same content counts as stored, so that an interrupted run can be repeated and sends only what is
 * missing; different content under its name is an error. If two writers use one generation, one stores its index and
 * the other gets an error.
 *
 * A growing timeline replaces the index of its own generation, as a pageserver does: with `advanceIndex`, after the
 * added layers, and only if the index is the one that it stored or read itself.
 */
import {
  checkChoice,
  checkCount,
  checkObject,
  checkOpenFiles,
  checkOptions,
  checkSignal,
  checkText,
  type KnownOptions,
} from '../../check-options.ts';
import { isStorageError, StorageError } from '../../errors.ts';
import { formatLayerName, parseLayerName } from '../../layers/layer-name.ts';
import {
  isCommonPrefix,
  type ObjectInfo,
  type ObjectStore,
  pathOfObject,
  takenError,
} from '../../object-store/object-store.ts';
import { isSameAsFile, putFile } from '../../object-store/put-file.ts';
import { MAXIMUM_GENERATION } from '../../timeline/generation.ts';
import { checkIndexPart } from '../../timeline/index-part/check.ts';
import { checkIndexPartArgument, type IndexPart } from '../../timeline/index-part/index-part.ts';
import type { IndexLayer } from '../../timeline/index-part/layer-entry.ts';
import {
  INDEX_NAME,
  indexGeneration,
  remoteIndexPath,
  remoteLayerPath,
  remoteManifestPath,
  remoteTimelinePath,
  type TimelinePlace,
} from '../../timeline/remote-path.ts';
import { formatTenantManifest, type TenantManifest } from '../../timeline/tenant-manifest.ts';
import { absolutePath } from '../../virtual-file/absolute-path.ts';
import { OpenFiles } from '../../virtual-file/open-files.ts';
import { unlinkIfExists } from '../../virtual-file/temporary-file.ts';
import { type OutputTarget, placeOfTarget } from './output-target.ts';
import { makeStaging, makeStagingWithin, type Staging } from './staging.ts';
import { StoredIndex } from './stored-index.ts';

/** Options of `TimelineOutput.open`. */
export interface TimelineOutputOptions extends TimelinePlace {
  /** Where `tenants/` is. A missing directory is created. */
  readonly target: OutputTarget;
  /** In the names of all objects. */
  readonly generation: number;
  /**
   * `new` refuses a timeline that has an index, of any generation; `repeated` one of another generation, and `putIndex`
   * accepts the same of this one; `any`, the default, refuses one of this generation; `continued` reads that index if
   * it is there: `advanceIndex` replaces it, and `putIndex` accepts the same.
   */
  readonly timeline?: 'new' | 'repeated' | 'any' | 'continued' | undefined;
  /**
   * Existing directory in which layers are made, in a subdirectory that `close` removes.
   * Default: the target if that is a directory, else the system's directory for temporary files.
   */
  readonly stagingDirectory?: string | undefined;
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /** Ends every call with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** What the names of manifests begin with. */
const MANIFEST_STEM = 'tenant-manifest';

const OPTIONS: KnownOptions<TimelineOutputOptions> = {
  target: true,
  tenantId: true,
  timelineId: true,
  shard: true,
  generation: true,
  timeline: true,
  stagingDirectory: true,
  openFiles: true,
  signal: true,
};

/** A layer that is stored. */
export interface StoredLayer {
  /** Canonical, without a generation: its name in an index. */
  readonly name: string;
  /** Path of the object, as messages name it. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** `present`: the same content was there before. */
  readonly state: 'written' | 'present';
}

/**
 * The place of one timeline, or of one shard of it, where layers and then an index are stored. Calls of `putLayer`
 * may run concurrently.
 *
 * @example
 * await using output = await TimelineOutput.open({ target: 'out', ...place, generation: 1 });
 * const layer = await writeLayerInto(output.stagingDirectory);
 * await output.putLayer(layer);
 * await output.putIndex(IndexPart.create({ layers: output.layers, metadata }));
 */
export class TimelineOutput {
  /** Tenant, shard and timeline. */
  readonly place: TimelinePlace;
  /** In the names of all objects. */
  readonly generation: number;
  readonly #store: ObjectStore;
  readonly #prefix: string;
  readonly #staging: Staging;
  readonly #openFiles: OpenFiles;
  readonly #signal: AbortSignal | undefined;
  readonly #layers = new Map<string, IndexLayer>();
  readonly #index: StoredIndex;
  /** Layers of the last index that was stored, which are known to exist. */
  #indexed: ReadonlyMap<string, IndexLayer> = new Map();

  /**
   * Checks that there is no index of the generation, or reads it, and makes the staging directory.
   *
   * @throws `exists` (an index of this generation; with `timeline: 'new'`, of any), `corrupt` (an index that
   *   cannot be read), `invalid-input`, `network`, `denied`, `io`, `aborted`.
   */
  static async open(options: TimelineOutputOptions): Promise<TimelineOutput> {
    checkOptions(options, OPTIONS);
    const { target, generation, stagingDirectory, signal } = options;
    checkCount('generation', generation, { to: MAXIMUM_GENERATION });
    // Checks the ids.
    remoteTimelinePath(options);
    checkChoice('timeline', options.timeline, ['new', 'repeated', 'any', 'continued']);
    checkOpenFiles(options.openFiles);
    checkSignal(signal);
    if (stagingDirectory !== undefined) checkText('stagingDirectory', stagingDirectory);
    const { openFiles = OpenFiles.shared() } = options;
    const { store, prefix } = placeOfTarget(target, openFiles);
    const own = typeof target === 'string' ? absolutePath(target) : undefined;
    const staging =
      stagingDirectory === undefined
        ? await makeStaging(own, openFiles)
        : await makeStagingWithin(absolutePath(stagingDirectory), openFiles);
    const output = new TimelineOutput({ ...options, openFiles }, { store, prefix, staging });
    try {
      await output.#checkStoredIndex(options.timeline);
    } catch (error) {
      await Promise.allSettled([staging.remove()]);
      throw error;
    }
    return output;
  }

  private constructor(
    options: TimelineOutputOptions & { readonly openFiles: OpenFiles },
    parts: { readonly store: ObjectStore; readonly prefix: string; readonly staging: Staging },
  ) {
    const { tenantId, timelineId, shard } = options;
    this.place = { tenantId, timelineId, shard };
    this.generation = options.generation;
    this.#store = parts.store;
    this.#prefix = parts.prefix;
    this.#staging = parts.staging;
    this.#openFiles = options.openFiles;
    this.#signal = options.signal;
    this.#index = new StoredIndex({
      store: parts.store,
      key: parts.prefix + remoteIndexPath(this.place, this.generation),
      signal: options.signal,
    });
  }

  /** Where writers make layers, under their names without a generation. Absolute path. */
  get stagingDirectory(): string {
    return this.#staging.directory;
  }

  /** The layers that this output has stored, as an index names them. */
  get layers(): ReadonlyMap<string, IndexLayer> {
    return this.#layers;
  }

  /** The index of the generation; undefined until it was stored or read. */
  get index(): IndexPart | undefined {
    return this.#index.index;
  }

  /** Where the index is, as messages name it. */
  get indexPath(): string {
    return this.#index.path;
  }

  /** The directory of the timeline, as messages name it. */
  get path(): string {
    return this.#pathOf(remoteTimelinePath(this.place));
  }

  /**
   * Stores a finished layer, and removes the local file.
   *
   * Durability: once it resolves, the stored layer survives a crash.
   *
   * @param layer What `finish` of a layer's writer returned: a synced file that never changes again. A
   *   generation in its name does not count.
   * @throws `exists` (different content has the name; nothing is changed), `invalid-input` (not the name of
   *   a layer), `not-found`, `network`, `denied`, `io`, `aborted`. After an error the local file is still
   *   there.
   */
  async putLayer(layer: { readonly path: string }): Promise<StoredLayer> {
    checkObject('layer', layer);
    checkText('path of the layer', layer.path);
    const parsed = parseLayerName(layer.path.slice(layer.path.lastIndexOf('/') + 1));
    const name = formatLayerName({ ...parsed, generation: undefined });
    const { place, generation } = this;
    const key = remoteLayerPath({ place, name, generation, shard: place.shard });
    const { state, size } = await this.#storeFile(this.#prefix + key, layer.path);
    await unlinkIfExists(this.#openFiles, absolutePath(layer.path));
    this.#layers.set(name, { fileSize: BigInt(size), generation, shard: place.shard });
    return { name, path: this.#pathOf(key), size, state };
  }

  /**
   * Stores the index, which makes the timeline exist in this generation. Each layer that it names must
   * be stored, by this output or before, with the size that the index says. The same index, if it was read
   * (`continued`), counts as stored.
   *
   * Durability: once it resolves, the index survives a crash.
   *
   * @returns The path of the index, as messages name it.
   * @throws `exists` (an index of this generation is there: another writer was faster), `not-found` (a
   *   layer is missing), `invalid-input` (a layer has another size, or a pageserver would not accept the
   *   index), `network`, `denied`, `io`, `aborted`. After `network` or `aborted` the index may be there.
   */
  async putIndex(index: IndexPart): Promise<string> {
    await this.#checkIndex(index);
    await this.#index.create(index);
    this.#indexed = index.fields.layers;
    return this.#index.path;
  }

  /**
   * Replaces the index that this output has stored or read by one with more layers. Readers see the old index or the
   * new one. An index that another writer has stored in the meantime is detected, as far as the store supports it.
   *
   * Durability: as `putIndex`; until then, the old index stays.
   *
   * @returns The path of the index, as messages name it.
   * @throws `not-found` (no index was stored or read, or a layer is missing), `changed` (another one is
   *   there), and as `putIndex`.
   */
  async advanceIndex(index: IndexPart): Promise<string> {
    await this.#checkIndex(index);
    await this.#index.replace(index);
    this.#indexed = index.fields.layers;
    return this.#index.path;
  }

  /**
   * Stores the manifest of the tenant, or of the shard, unless the same one exists.
   *
   * Durability: once it resolves, the manifest survives a crash.
   * @throws `exists` (another manifest of this generation is there), `invalid-input`, `network`,
   *   `denied`, `io`, `aborted`.
   */
  async putTenantManifest(manifest: Omit<TenantManifest, 'version'>): Promise<string> {
    const key = remoteManifestPath(this.place, this.generation);
    await this.#put(key, formatTenantManifest(manifest));
    return this.#pathOf(key);
  }

  /**
   * Whether a layer of an index is stored, with the size that the index says.
   *
   * @throws As the store.
   * @internal
   */
  async hasLayer(name: string, layer: IndexLayer): Promise<boolean> {
    const key = this.#prefix + remoteLayerPath({ place: this.place, name, ...layer });
    const found = await this.#store.head(key, { signal: this.#signal });
    return found !== undefined && BigInt(found.size) === layer.fileSize;
  }

  /**
   * Whether another timeline of the tenant, or of the shard, has an index here.
   *
   * @throws As the store.
   * @internal
   */
  async hasTimeline(timelineId: string): Promise<boolean> {
    const directory = `${this.#prefix}${remoteTimelinePath({ ...this.place, timelineId })}/`;
    for await (const _ of this.#objectsBelow(directory + INDEX_NAME)) return true;
    return false;
  }

  /**
   * Whether the tenant, or the shard, has a manifest here, of any generation.
   *
   * @throws As the store.
   * @internal
   */
  async hasTenantManifest(): Promise<boolean> {
    const path = this.#prefix + remoteManifestPath(this.place, undefined);
    const anyName = path.slice(0, path.lastIndexOf('/') + 1) + MANIFEST_STEM;
    for await (const _ of this.#objectsBelow(anyName)) return true;
    return false;
  }

  /** Removes the staging directory; stored objects stay. Idempotent. Throws `io`. */
  async close(): Promise<void> {
    await this.#staging.remove();
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #storeFile(key: string, file: string): Promise<Pick<StoredLayer, 'state' | 'size'>> {
    const options = { openFiles: this.#openFiles, signal: this.#signal };
    try {
      const { size } = await putFile(this.#store, key, file, options);
      return { state: 'written', size };
    } catch (error) {
      if (!isStorageError(error, 'exists')) throw error;
    }
    const found = await this.#store.head(key, { signal: this.#signal });
    const path = pathOfObject(this.#store, key);
    if (found === undefined || !(await isSameAsFile(this.#store, found, file, options))) {
      throw takenError(path).with({
        what: 'another layer has this name and generation: choose a higher generation',
      });
    }
    return { state: 'present', size: found.size };
  }

  /** Throws `exists` if the key has different content. */
  async #put(key: string, text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    const signal = this.#signal;
    try {
      await this.#store.put(this.#prefix + key, bytes, { ifAbsent: true, signal });
    } catch (error) {
      if (!isStorageError(error, 'exists')) throw error;
      const found = await this.#store.readStart(this.#prefix + key, bytes.length + 1, { signal });
      if (Buffer.compare(found.bytes, bytes) !== 0) throw error;
    }
  }

  async #checkIndex(index: IndexPart): Promise<void> {
    checkIndexPartArgument('index', index);
    const fault = checkIndexPart(index, { generation: this.generation }).find(
      ({ severity }) => severity === 'error',
    );
    if (fault !== undefined) {
      const what = `index: ${fault.message}`;
      throw new StorageError('invalid-input', { what, path: this.path, actual: fault.layer });
    }
    await this.#checkLayers(index.fields.layers);
  }

  async #checkStoredIndex(timeline: TimelineOutputOptions['timeline'] = 'any'): Promise<void> {
    const own = this.#prefix + remoteIndexPath(this.place, this.generation);
    if (timeline === 'any') return this.#index.refuse();
    if (timeline === 'new') return this.#refuseAnyIndex();
    if (timeline === 'repeated') await this.#refuseAnyIndex({ but: own });
    await this.#index.read();
  }

  async #refuseAnyIndex({ but }: { readonly but?: string } = {}): Promise<void> {
    const directory = `${this.#prefix}${remoteTimelinePath(this.place)}/`;
    for await (const item of this.#objectsBelow(directory + INDEX_NAME)) {
      // A crash may have left an index that did not get its name.
      if (indexGeneration(item.key.slice(directory.length)) === 'invalid') continue;
      if (item.key === but) continue;
      throw new StorageError('exists', {
        what: 'the timeline exists: it has an index',
        path: pathOfObject(this.#store, item.key),
      });
    }
  }

  /** Throws `not-found` and `invalid-input` for layers that are not stored as the index says. */
  async #checkLayers(layers: ReadonlyMap<string, IndexLayer>): Promise<void> {
    const listed = new Map<string, ReadonlyMap<string, number>>();
    for (const [name, { fileSize, generation, shard }] of layers) {
      const known = this.#layers.get(name) ?? this.#indexed.get(name);
      if (known?.fileSize === fileSize && known.generation === generation) continue;
      const key = remoteLayerPath({ place: this.place, name, generation, shard });
      const directory = remoteTimelinePath({ ...this.place, shard });
      const sizes = listed.get(directory) ?? (await this.#sizesBelow(directory));
      listed.set(directory, sizes);
      const size = sizes.get(key);
      const path = this.#pathOf(key);
      const what = 'layer of the index';
      if (size === undefined) {
        throw new StorageError('not-found', { what, path, expected: `${fileSize} bytes` });
      }
      if (BigInt(size) === fileSize) continue;
      const [expected, actual] = [`${fileSize} bytes`, `${size}`];
      throw new StorageError('invalid-input', { what, path, expected, actual });
    }
  }

  async #sizesBelow(directory: string): Promise<ReadonlyMap<string, number>> {
    const sizes = new Map<string, number>();
    for await (const { key, size } of this.#objectsBelow(`${this.#prefix}${directory}/`)) {
      sizes.set(key.slice(this.#prefix.length), size);
    }
    return sizes;
  }

  async *#objectsBelow(prefix: string): AsyncGenerator<ObjectInfo, void, undefined> {
    for await (const item of this.#store.list(prefix, { delimiter: '/', signal: this.#signal })) {
      if (!isCommonPrefix(item)) yield item;
    }
  }

  #pathOf(key: string): string {
    return pathOfObject(this.#store, this.#prefix + key);
  }
}
