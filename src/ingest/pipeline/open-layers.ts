/** The layers that an ingest fills: each takes batches, answers reads, and becomes a delta layer. */
import { isStorageError, StorageError } from '../../errors.ts';
import {
  type EphemeralEntry,
  EphemeralLayer,
} from '../../layers/ephemeral-layer/ephemeral-layer.ts';
import type { WriteOutThread } from '../../layers/ephemeral-layer/write-out-thread.ts';
import type { Key, KeyRange } from '../../layers/key.ts';
import type { FinishedLayer } from '../../layers/layer-file/layer-writer.ts';
import type { Lsn } from '../../layers/lsn.ts';
import type { IoMode } from '../../virtual-file/file-system.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';
import type { PutBatch } from './put-batch.ts';

/** What all layers of an ingest share. */
export interface LayerPlace {
  /** Of scratch files and finished layers. */
  readonly directory: string;
  readonly tenantId: string;
  readonly timelineId: string;
  /** 8 hex digits, for the names of the layers. */
  readonly generation: string | undefined;
  readonly ioMode: IoMode | undefined;
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
}

/** A layer that is being filled. One caller at a time. */
export interface OpenLayer {
  /** Puts a batch, which must not change until a returned promise settles. */
  put(batch: PutBatch): void | Promise<void>;
  /** The values of a key at or before an LSN, newest first, down to one that needs no older one. */
  versions(key: Key, lsn: Lsn): Promise<EphemeralEntry[]>;
  /** Ends the puts. */
  freeze(endLsn: Lsn): Promise<void>;
  /**
   * Writes the layer, which is frozen, as a delta layer of these keys, of which all are: an L0 if the range is that of
   * all keys. Reads may continue until it is closed.
   *
   * Returns: the layer, which is durable; undefined without values.
   */
  finish(keyRange: KeyRange): Promise<FinishedLayer | undefined>;
  /** Deletes the scratch file. Idempotent. */
  close(): Promise<void>;
}

/** Makes layers. */
export interface OpenLayers {
  open(startLsn: Lsn): Promise<OpenLayer>;
  /** Closes what is open. Idempotent. */
  close(): Promise<void>;
}

/**
 * Layers that fill on the caller's thread. With `thread`, larger ones are written out on it; it is ended when the layers
 * are closed.
 */
export function localLayers(place: LayerPlace, thread?: WriteOutThread): OpenLayers {
  const open = new Set<LocalLayer>();
  return {
    async open(startLsn) {
      const layer = await LocalLayer.create({ ...place, thread }, startLsn, () =>
        open.delete(layer),
      );
      open.add(layer);
      return layer;
    },
    async close() {
      await Promise.all([...open].map((layer) => layer.close()));
      await thread?.end();
    },
  };
}

/** Limit for the versions of a key that one read collects: there may be any number if the page is never reset. */
const MAXIMUM_VERSION_BYTES = 256 * 1024 * 1024;

/** Bytes of values from which a layer is worth a thread. */
const THREAD_FROM = 8 * 1024 * 1024;

class LocalLayer implements OpenLayer {
  readonly #layer: EphemeralLayer;
  readonly #thread: WriteOutThread | undefined;
  readonly #generation: string | undefined;
  readonly #onClose: () => void;

  static async create(
    { generation, ...place }: LayerPlace & { readonly thread: WriteOutThread | undefined },
    startLsn: Lsn,
    onClose: () => void,
  ): Promise<LocalLayer> {
    const { directory, tenantId, timelineId, ioMode, openFiles, thread } = place;
    const options = { directory, tenantId, timelineId, startLsn, ioMode, openFiles, thread };
    const layer = await EphemeralLayer.create(options);
    return new LocalLayer(layer, { generation, thread, onClose });
  }

  private constructor(
    layer: EphemeralLayer,
    {
      generation,
      thread,
      onClose,
    }: {
      readonly generation: string | undefined;
      readonly thread: WriteOutThread | undefined;
      readonly onClose: () => void;
    },
  ) {
    this.#layer = layer;
    this.#thread = thread;
    this.#generation = generation;
    this.#onClose = onClose;
  }

  put(batch: PutBatch): void | Promise<void> {
    if (this.#layer.size >= THREAD_FROM) this.#thread?.start();
    return this.#layer.putBatch(batch);
  }

  async versions(key: Key, lsn: Lsn): Promise<EphemeralEntry[]> {
    const found: EphemeralEntry[] = [];
    let size = 0;
    for await (const entry of this.#layer.versions(key, { start: 0n, end: lsn + 1n })) {
      found.push(entry);
      size += entry.bytes.length;
      if (entry.willInit) break;
      if (size > MAXIMUM_VERSION_BYTES) throw tooManyVersions();
    }
    return found;
  }

  async freeze(endLsn: Lsn): Promise<void> {
    await this.#layer.freeze(endLsn);
  }

  async finish(keyRange: KeyRange): Promise<FinishedLayer | undefined> {
    try {
      return await this.#layer.writeDelta({ generation: this.#generation, keyRange });
    } catch (error) {
      if (isStorageError(error, 'empty')) return undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#onClose();
    await this.#layer.close();
  }
}

function tooManyVersions(): StorageError {
  return new StorageError('too-large', {
    what: 'versions of a key in an open layer',
    expected: `at most ${MAXIMUM_VERSION_BYTES} bytes`,
  });
}
