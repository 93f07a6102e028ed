/**
 * Adds up what takes up space in layers: entries and bytes by relation, fork, kind of layer, type of value, kind of WAL
 * record, or layer.
 */

import { isStorageError, type StorageError } from '../errors.ts';
import { KEY_SIZE, type Key } from '../layers/key.ts';
import type { EntryBatch } from '../layers/layer-file/entry-batch.ts';
import type { EntryOptions } from '../layers/layer-file/entry-options.ts';
import type { LargeEntry } from '../layers/layer-file/entry-scan.ts';
import { FirstBytes, readLargeValue } from '../layers/layer-file/large-value.ts';
import { WAL_HEADER_SIZE } from '../layers/value-format.ts';
import { outlineOfValueAt } from '../layers/value-outline.ts';
import { describeKey, type KeyMeaning } from '../postgres/key-mapping.ts';
import { relationText } from '../postgres/short-key.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import { recordTypeOf, resourceManagerName } from '../wal/resource-managers.ts';
import type { AnyLayerReader } from './layer-versions.ts';

/** What entries are grouped by. */
export const SPACE_GROUPS = ['relation', 'fork', 'kind', 'type', 'record', 'layer'] as const;
export type SpaceGroup = (typeof SPACE_GROUPS)[number];

/** The space that a group takes up. */
export interface SpaceRow {
  readonly name: string;
  readonly entries: number;
  /** Contents, after decompression. */
  readonly bytes: number;
  /** In the files, including the headers of the blobs. */
  readonly storedBytes: number;
}

/** Receives images that might be compressed differently. A view. */
export type OnImage = (bytes: Uint8Array) => void;

interface Count {
  entries: number;
  bytes: number;
  storedBytes: number;
}

/** In a value of type `wal`: the info byte of the record, and the number of its resource manager. */
const INFO_AT = WAL_HEADER_SIZE + 16;
const RESOURCE_MANAGER_AT = WAL_HEADER_SIZE + 17;
const RECORD_BEGIN_SIZE = RESOURCE_MANAGER_AT + 1;

/** Bytes of a key before its last field: of blocks of one relation and fork they are the same. */
const RELATION_PREFIX = KEY_SIZE - 4;
const OF_RELATION: readonly KeyMeaning['kind'][] = ['rel_block', 'rel_size'];

/** What to add from a layer. */
export interface AddedLayerOptions extends EntryOptions {
  /** Version of the Postgres that wrote its WAL records, 14 to 17; needed to group by record. */
  readonly majorVersion?: number | undefined;
}

/** Adds up layers, one after the other. */
export class SpaceCounter {
  readonly #by: SpaceGroup;
  readonly #onImage: OnImage | undefined;
  readonly #groups = new Map<string, Count>();
  #summaryBytes = 0;
  #indexBytes = 0;
  #paddingBytes = 0;
  #majorVersion: number | undefined;
  #last: { readonly prefix: Uint8Array; readonly name: string } | undefined;

  constructor(by: SpaceGroup, onImage?: OnImage) {
    this.#by = by;
    this.#onImage = onImage;
  }

  /**
   * Adds a layer, or the entries that are selected.
   *
   * @returns Its damage, which is not counted.
   * @throws `io` and other errors that prevent the layer from being read, `aborted`.
   */
  async addLayer(
    reader: AnyLayerReader,
    name: string,
    options: AddedLayerOptions = {},
  ): Promise<StorageError[]> {
    const damage: StorageError[] = [];
    let storedBytes = 0;
    const { majorVersion, ...selected } = options;
    this.#majorVersion = majorVersion;
    this.#last = undefined;
    for await (const item of reader.salvageStreamed(selected)) {
      if (item.kind === 'batch') storedBytes += this.#addBatch(item.batch, reader, name);
      else if (item.kind === 'large-entry') {
        const { storedLength } = item;
        const added = await this.#addLarge(item, reader, name);
        if (added === undefined) storedBytes += storedLength;
        else damage.push(added);
      } else if ('error' in item) damage.push(item.error);
    }
    if (options.keyRange === undefined) this.#addOverhead(reader, storedBytes);
    return damage;
  }

  /** The groups, largest first; then everything that is not an entry: summaries, indices, padding. */
  rows(): SpaceRow[] {
    const groups = [...this.#groups].map(([name, count]) => ({ name, ...count }));
    groups.sort((a, b) => b.storedBytes - a.storedBytes || (a.name < b.name ? -1 : 1));
    return [...groups, ...this.#overheadRows()];
  }

  #overheadRows(): SpaceRow[] {
    const overhead = [
      ['(index)', this.#indexBytes],
      ['(padding)', this.#paddingBytes],
      ['(summary)', this.#summaryBytes],
    ] as const;
    return overhead
      .filter(([, storedBytes]) => storedBytes > 0)
      .map(([name, storedBytes]) => ({ name, entries: 0, bytes: 0, storedBytes }));
  }

  #addOverhead({ summary, size }: AnyLayerReader, storedBytes: number): void {
    const indexBytes = (summary.indexRootBlock + 1) * BLOCK_SIZE;
    this.#summaryBytes += BLOCK_SIZE;
    this.#indexBytes += indexBytes;
    this.#paddingBytes += Math.max(0, size - BLOCK_SIZE - indexBytes - storedBytes);
  }

  #addBatch(batch: EntryBatch, reader: AnyLayerReader, layer: string): number {
    const { kind } = reader.summary;
    let total = 0;
    for (let index = 0; index < batch.count; index += 1) {
      const isPlain = batch.compressed[index] === 0;
      const bytes = isPlain ? undefined : batch.bytes(index);
      const length = bytes?.length ?? (batch.lengths[index] as number);
      const storedLength = batch.storedLengths[index] as number;
      const type =
        kind === 'image'
          ? 'image'
          : bytes === undefined
            ? this.#typeOf(batch.buffer, batch.starts[index] as number, length)
            : this.#typeOf(bytes, 0, length);
      const name = this.#nameOf(batch.keys.subarray(index * KEY_SIZE, (index + 1) * KEY_SIZE), {
        kind,
        type,
        layer,
      });
      this.#add(name, length, storedLength);
      total += storedLength;
      if (kind === 'image') this.#onImage?.(bytes ?? batch.bytes(index));
    }
    return total;
  }

  /** Returns what is damaged. */
  async #addLarge(
    item: LargeEntry,
    reader: AnyLayerReader,
    layer: string,
  ): Promise<StorageError | undefined> {
    const { kind } = reader.summary;
    const { key, storedLength } = item;
    if (kind === 'image') {
      const length = await item.stream(() => {});
      if (typeof length !== 'number') return length.error;
      this.#add(this.#nameOf(key, { kind, type: 'image', layer }), length, storedLength);
      return undefined;
    }
    const begin = new FirstBytes(RECORD_BEGIN_SIZE);
    const value = await readLargeValue(item, (piece) => begin.add(piece));
    if (value.kind !== 'value') return value.error;
    const { length, outline } = value;
    if (isStorageError(outline)) return outline;
    const type =
      this.#by === 'record' ? this.#recordName(outline.type, begin.bytes, 0) : outline.type;
    this.#add(this.#nameOf(key, { kind, type, layer }), length, storedLength);
    return undefined;
  }

  /** The type of a value in a delta layer; empty if nothing depends on it. */
  #typeOf(bytes: Uint8Array, start: number, length: number): string {
    if (this.#by !== 'type' && this.#by !== 'record') return '';
    const { type } = outlineOfValueAt(bytes, start, length);
    return this.#by === 'record' ? this.#recordName(type, bytes, start) : type;
  }

  /** Kind of the record whose value begins at `start`; for other values, their type. */
  #recordName(type: string, bytes: Uint8Array, start: number): string {
    const majorVersion = this.#majorVersion;
    if (type !== 'wal' || majorVersion === undefined) return type;
    const info = bytes[start + INFO_AT];
    const resourceManager = bytes[start + RESOURCE_MANAGER_AT];
    if (info === undefined || resourceManager === undefined) return '(no record)';
    const manager = resourceManagerName(resourceManager, majorVersion);
    return `${manager}/${recordTypeOf({ resourceManager, info }, majorVersion)}`;
  }

  #add(name: string, bytes: number, storedBytes: number): void {
    const count = this.#groups.get(name) ?? { entries: 0, bytes: 0, storedBytes: 0 };
    count.entries += 1;
    count.bytes += bytes;
    count.storedBytes += storedBytes;
    this.#groups.set(name, count);
  }

  #nameOf(
    key: Key,
    about: { readonly kind: string; readonly type: string; readonly layer: string },
  ): string {
    switch (this.#by) {
      case 'kind':
        return about.kind;
      case 'type':
      case 'record':
        return about.type;
      case 'layer':
        return about.layer;
      case 'relation':
      case 'fork':
        return this.#nameOfKey(key, this.#by);
    }
  }

  /** Most entries are of the same relation as the previous one. */
  #nameOfKey(key: Key, by: 'relation' | 'fork'): string {
    const last = this.#last;
    if (last !== undefined && isPrefix(last.prefix, key)) return last.name;
    const meaning = describeKey(key);
    const name = nameOfMeaning(meaning, by);
    const isReusable = OF_RELATION.includes(meaning.kind);
    this.#last = isReusable ? { prefix: key.slice(0, RELATION_PREFIX), name } : undefined;
    return name;
  }
}

function isPrefix(prefix: Uint8Array, key: Uint8Array): boolean {
  for (let at = prefix.length - 1; at >= 0; at -= 1) if (prefix[at] !== key[at]) return false;
  return true;
}

/** Keys that do not belong to a relation are named by their kind. */
function nameOfMeaning(meaning: KeyMeaning, by: 'relation' | 'fork'): string {
  switch (meaning.kind) {
    case 'rel_block':
    case 'rel_size':
      return by === 'relation' ? relationText(meaning) : String(meaning.fork);
    case 'slru_block':
    case 'slru_size':
    case 'slru_dir':
      return meaning.slru;
    default:
      return meaning.kind;
  }
}
