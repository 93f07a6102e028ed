/**
 * Finds blobs without keys, in a layer whose index is lost. Blobs lie back to back, so the end of
 * one is the start of the next, from the start of the values on.
 *
 * Nothing proves that a blob belongs to the layer. In a delta layer it must at least hold a value; after a
 * few blobs that do not, an invalid header, or zeros up to the end of a block, the walk has lost its place.
 * It continues at the next WAL record, which is recognized by its checksum (`record-search.ts`). In an image
 * layer any bytes may be an image, so the start of the next one cannot be found. If the walk ends before the
 * values do, the last item is damage; zeros at the end are padding.
 */
import { BlobScanner } from '../../blob-writer/blob-scanner.ts';
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import { isStorageError, StorageError, throwIfAborted, withPath } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { Decompressor } from '../../zstd/decompression.ts';
import { isDamage } from '../damage.ts';
import { sweepBlocks } from '../disk-btree/block-sweep.ts';
import { outlineOfValue } from '../value-outline.ts';
import { checkExpandedLength, type EntryScan } from './entry-scan.ts';
import { readLargeValue } from './large-value.ts';
import { RecordSearch } from './record-search.ts';
import type { LayerKind } from './summary-format.ts';

/** A blob whose key is lost. Nothing proves that it belongs to the layer. */
export interface LooseBlob {
  /** Tells the items of a scan apart. */
  readonly kind: 'loose-blob';
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes in the file, including the header. */
  readonly storedLength: number;
  /** True if the blob is compressed in the file. */
  readonly compressed: boolean;
  /** Bytes of the content after decompression. */
  readonly length: number;
  /** Type of the value in a delta layer; `image` in an image layer. */
  readonly type: string;
  /** The content, a copy; undefined if contents are not wanted. */
  readonly bytes: Uint8Array | undefined;
}

/** A blob that cannot be read, or does not hold a value. */
export interface DamagedBlob {
  /** Tells the items of a scan apart. */
  readonly kind: 'damaged-blob';
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** What is wrong. */
  readonly error: StorageError;
}

export interface LooseBlobOptions {
  readonly kind: LayerKind;
  readonly scan: EntryScan;
  readonly contents: 'whole' | 'none';
  /** Called with the offset of the blob, and its content, in pieces of at most 256 KiB if large. */
  readonly onPiece?: ((offset: number, piece: Uint8Array) => void) | undefined;
}

/** Number of consecutive damaged blobs after which the walk has lost its place. */
const MAXIMUM_BAD_BLOBS = 8;

/** Throws: `io`, `aborted`, `closed`. */
export async function* looseBlobs(
  options: LooseBlobOptions,
): AsyncGenerator<LooseBlob | DamagedBlob> {
  const { kind, scan } = options;
  const { source, region } = scan.blobs;
  const walk = new BlobWalk(options);
  const zeros = new ZeroRuns(scan);
  const search = kind === 'delta' ? new RecordSearch(scan) : undefined;
  /** Consecutive ones: either each blob is damaged, or the walk has been lost since the first one. */
  let damaged: DamagedBlob[] = [];
  try {
    for (let offset = region.start; offset < region.end; ) {
      throwIfAborted(scan.signal, source.path);
      const item = walk.inMemory(offset) ?? (await walk.at(offset));
      const run = walk.isEmpty ? await zeros.at(offset) : 'none';
      if (run === 'none' && item.kind === 'loose-blob') {
        yield* damaged;
        damaged = [];
        yield item;
        offset = walk.end;
        continue;
      }
      if (run === 'block') damaged.push(zerosAt(source, offset));
      else if (item.kind === 'damaged-blob' && run === 'none') damaged.push(item);
      const [first] = damaged;
      if (first === undefined) return;
      if (run === 'none' && walk.end > offset && damaged.length < MAXIMUM_BAD_BLOBS) {
        offset = walk.end;
        continue;
      }
      const found = await search?.next(first.offset + 1, offset);
      if (found === undefined) break;
      yield first;
      damaged = [];
      offset = found;
    }
    yield* damaged;
  } finally {
    await walk.close();
  }
}

function zerosAt({ path }: ByteSource, offset: number): DamagedBlob {
  const error = new StorageError('corrupt', {
    ...{ what: 'values', path, offset },
    expected: 'a blob',
    actual: 'zeros up to the end of the block, and other bytes after it',
  });
  return { kind: 'damaged-blob', offset, error };
}

class BlobWalk {
  readonly #options: LooseBlobOptions;
  readonly #scanner: BlobScanner;
  #expandedLength = 0;
  /** End of the last blob; its start, if the end is unknown. */
  end = 0;

  constructor(options: LooseBlobOptions) {
    this.#options = options;
    const largeBlobs = options.contents === 'whole' ? 'load' : 'leave';
    this.#scanner = new BlobScanner(options.scan.blobs, { largeBlobs });
  }

  /** Whether the last header was a zero, as of an empty blob. */
  get isEmpty(): boolean {
    const { headerSize, payloadLength } = this.#scanner;
    return headerSize === 1 && payloadLength === 0;
  }

  /** A plain blob whose bytes are in memory; undefined for any other. Most blobs need no waiting. */
  inMemory(offset: number): LooseBlob | DamagedBlob | undefined {
    this.end = offset;
    try {
      if (!this.#scanner.locate(offset)) return undefined;
      const { bytes, compressed, headerSize, isWhole, payloadStart, payloadLength } = this.#scanner;
      if (compressed || !isWhole) return undefined;
      this.end = offset + headerSize + payloadLength;
      return this.#looseBlob(offset, bytes.subarray(payloadStart, payloadStart + payloadLength));
    } catch (error) {
      return this.#damaged(offset, error);
    }
  }

  async at(offset: number): Promise<LooseBlob | DamagedBlob> {
    this.end = offset;
    try {
      if (!this.#scanner.locate(offset)) {
        await this.#scanner.load(offset);
        this.#scanner.locate(offset);
      }
      const { headerSize, payloadLength } = this.#scanner;
      this.end = offset + headerSize + payloadLength;
      return await this.#blob(offset);
    } catch (error) {
      return this.#damaged(offset, error);
    }
  }

  async close(): Promise<void> {
    await this.#scanner.close();
  }

  async #blob(offset: number): Promise<LooseBlob> {
    const { scan } = this.#options;
    const { headerSize, payloadLength, compressed } = this.#scanner;
    if (compressed) checkExpandedLength(offset, { scan, expandedLength: this.#expandedLength });
    const content = await this.#content(offset);
    if (content !== undefined) {
      if (compressed) this.#expandedLength += content.length;
      return this.#looseBlob(offset, content);
    }
    const { length, type } = await this.#stream(offset);
    const storedLength = headerSize + payloadLength;
    return { kind: 'loose-blob', offset, storedLength, compressed, length, type, bytes: undefined };
  }

  /** From a content in memory. */
  #looseBlob(offset: number, content: Uint8Array): LooseBlob {
    const { contents, onPiece } = this.#options;
    const { headerSize, payloadLength, compressed } = this.#scanner;
    const type = this.#typeOf(content, compressed ? offset : offset + headerSize);
    onPiece?.(offset, content);
    return {
      kind: 'loose-blob',
      offset,
      storedLength: headerSize + payloadLength,
      compressed,
      length: content.length,
      type,
      bytes: contents === 'whole' ? new Uint8Array(content) : undefined,
    };
  }

  /** Rethrows an error that is not damage. */
  #damaged(offset: number, caught: unknown): DamagedBlob {
    const error = withPath(caught, this.#options.scan.blobs.source.path);
    if (isDamage(error)) return { kind: 'damaged-blob', offset, error };
    throw error;
  }

  /** A view; undefined for a content that is to be streamed. */
  async #content(offset: number): Promise<Uint8Array | undefined> {
    const { bytes, compressed, headerSize, isWhole, payloadStart, payloadLength } = this.#scanner;
    if (!isWhole) return undefined;
    const payload = bytes.subarray(payloadStart, payloadStart + payloadLength);
    if (!compressed) return payload;
    const { blobs } = this.#options.scan;
    const header = { headerSize, storedLength: payloadLength, compressed };
    const decompressor = await Decompressor.load();
    const small = blobs.smallContent(decompressor, { header, payload, offset });
    if (small !== undefined || this.#options.contents === 'none') return small;
    return blobs.content(header, payload, offset);
  }

  async #stream(offset: number): Promise<{ length: number; type: string }> {
    const { kind, onPiece, scan } = this.#options;
    const { headerSize, payloadLength, compressed } = this.#scanner;
    const header = { headerSize, storedLength: payloadLength, compressed };
    const stream = (onEach: (piece: Uint8Array) => void) =>
      scan.blobs.stream(offset, header, (piece) => {
        throwIfAborted(scan.signal, scan.blobs.source.path);
        if (compressed) this.#expandedLength += piece.length;
        onEach(piece);
      });
    const pass = (piece: Uint8Array) => onPiece?.(offset, piece);
    if (kind === 'image') return { length: await stream(pass), type: 'image' };
    const value = await readLargeValue<never>({ stream }, pass);
    if (isStorageError(value.outline)) throw this.#located(value.outline, offset);
    return { length: value.length, type: value.outline.type };
  }

  #typeOf(content: Uint8Array, contentOffset: number): string {
    if (this.#options.kind === 'image') return 'image';
    try {
      return outlineOfValue(content).type;
    } catch (error) {
      throw this.#located(error, contentOffset);
    }
  }

  /** Offsets within a value become offsets in the file. */
  #located(error: unknown, contentOffset: number): unknown {
    if (!isStorageError(error)) return error;
    const { path } = this.#options.scan.blobs.source;
    return error.with({ path, offset: contentOffset + (error.offset ?? 0) });
  }
}

/** Zeros where a blob could start. */
class ZeroRuns {
  readonly #scan: EntryScan;
  /** The byte there is not zero, so that zeros before it are empty blobs. */
  #nonZeroOffset = 0;

  constructor(scan: EntryScan) {
    this.#scan = scan;
  }

  /**
   * How far zeros reach from `offset`: to the end of the `block`, or to the end of all `values`; `none` if a
   * non-zero byte follows in the block. Throws: `io`, `aborted`.
   */
  async at(offset: number): Promise<'none' | 'block' | 'values'> {
    if (offset < this.#nonZeroOffset) return 'none';
    const { blobs, signal } = this.#scan;
    const { source, region } = blobs;
    const next = Math.floor(offset / BLOCK_SIZE) + 1;
    const rest = new Uint8Array(Math.min(next * BLOCK_SIZE, region.end) - offset);
    await readExactly(source, rest, offset);
    const index = rest.findIndex((byte) => byte !== 0);
    if (index >= 0) {
      this.#nonZeroOffset = offset + index;
      return 'none';
    }
    try {
      const to = Math.ceil(region.end / BLOCK_SIZE);
      for await (const _ of sweepBlocks(source, { from: next, to, signal })) return 'block';
    } catch (error) {
      // There are more zeros than the limit of a sweep.
      if (!isDamage(error)) throw error;
      return 'block';
    }
    return 'values';
  }
}
