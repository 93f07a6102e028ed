/** Reads the records of WAL, from any LSN, in batches. */
import {
  checkBoolean,
  checkChoice,
  checkCount,
  checkOptions,
  checkSignal,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError, throwIfAborted } from '../errors.ts';
import { ALL_LSNS, checkLsn, formatLsn, type Lsn } from '../layers/lsn.ts';
import { WAL_PAGE_SIZE } from './page-format.ts';
import { RecordAssembler } from './record-assembler.ts';
import type { WalChunk, WalRecordBatch } from './record-batch.ts';
import { WAL_RECORD_HEADER_SIZE } from './record-scanner.ts';
import type { TimelinePath } from './timeline-history.ts';
import type { WalEnd } from './wal-end.ts';
import { feedOf } from './wal-feed.ts';
import { WalSegments } from './wal-segments.ts';
import { checkWalSource, type WalSource } from './wal-source.ts';

/** The longest record that Postgres writes: 1,020 MiB. */
export const MAXIMUM_WAL_RECORD_LENGTH = 1020 * 1024 * 1024;

/** Options of `openWal`. */
export interface WalReadOptions {
  /** The first record is the first one that starts here or later. Default: the start of the WAL. */
  readonly start?: Lsn | undefined;
  /** The last record is the last one that ends here or before. Default: the end of the WAL. */
  readonly end?: Lsn | undefined;
  /** Last timeline of the WAL, which is reached through its ancestors. Default: the newest that has a segment. */
  readonly timeline?: number | undefined;
  /**
   * Skips damage up to the next valid record, if it follows where the damaged one ends, or else up to the next valid
   * page; batches say what was skipped. Default false.
   */
  readonly skipCorrupt?: boolean | undefined;
  /** Bytes; a longer record is damage. Default and maximum: 1,020 MiB. */
  readonly maximumRecordLength?: number | undefined;
  /**
   * Called at the end of the WAL, with its LSN. If it resolves to true, the source is listed again and reading
   * continues; if to false, the WAL has ended. It may wait, but not forever: it is not interrupted.
   */
  readonly waitForMore?: ((lsn: Lsn) => Promise<boolean>) | undefined;
  /** Ends reading with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS: KnownOptions<WalReadOptions> = {
  start: true,
  end: true,
  timeline: true,
  skipCorrupt: true,
  maximumRecordLength: true,
  waitForMore: 'function',
  signal: true,
};

/** Bytes per read. */
const CHUNK_LENGTH = 64 * WAL_PAGE_SIZE;

/**
 * Opens WAL for reading.
 *
 * Reads ahead in pieces of 512 KiB; at most 10 MiB of memory, and a record longer than a piece, are in use.
 *
 * @returns A reader, to be iterated over once.
 * @throws `not-found` (no segments), `unsupported-version`, `corrupt`, `truncated`, `invalid-input`, and as
 * the source: `io`, `network`, `denied`, `aborted`.
 *
 * @example
 * const wal = await openWal(walDirectory('pg_wal'), { start: parseLsn('0/1700058') });
 * for await (const batch of wal) {
 *   for (let index = 0; index < batch.length; index += 1) {
 *     const record = decodeWalRecord(batch.bytes(index), batch.majorVersion);
 *     show(batch.startLsn(index), record);
 *   }
 * }
 * if (wal.end?.kind !== 'end-of-wal') throw wal.end?.error;
 */
export async function openWal(source: WalSource, options: WalReadOptions = {}): Promise<WalReader> {
  checkWalSource(source);
  checkReadOptions(options);
  return openWalWith(source, options, []);
}

/**
 * As `openWal`, reusing the chunks of an earlier reader, whose batches are no longer used; the chunks are kept for the
 * next one. Requires: options that were checked.
 */
export async function openWalWith(
  source: WalSource,
  options: WalReadOptions,
  chunks: WalChunk[],
): Promise<WalReader> {
  const { timeline, signal } = options;
  throwIfAborted(signal, source.path);
  const segments = await WalSegments.list(source, { timeline, signal });
  return new WalReader(source, segments, options, chunks);
}

function checkReadOptions(options: WalReadOptions): void {
  checkOptions(options, OPTIONS);
  const { start, end, timeline, skipCorrupt, maximumRecordLength, waitForMore, signal } = options;
  if (start !== undefined) checkLsn(start, 'start of the WAL');
  if (end !== undefined) checkLsn(end, 'end of the WAL');
  if (timeline !== undefined) checkCount('timeline', timeline, { from: 1, to: 0xffff_ffff });
  checkChoice('type of skipCorrupt', skipCorrupt === undefined ? undefined : typeof skipCorrupt, [
    'boolean',
  ]);
  checkChoice('type of waitForMore', waitForMore === undefined ? undefined : typeof waitForMore, [
    'function',
  ]);
  if (maximumRecordLength !== undefined) {
    const bounds = { from: WAL_RECORD_HEADER_SIZE, to: MAXIMUM_WAL_RECORD_LENGTH };
    checkCount('maximumRecordLength', maximumRecordLength, bounds);
  }
  checkSignal(signal);
  if (start === undefined || end === undefined || start <= end) return;
  throw new StorageError('out-of-range', {
    what: 'range of the WAL',
    expected: 'a start at or before the end',
    actual: `${formatLsn(start)}-${formatLsn(end)}`,
  });
}

/** WAL that is being read. One iteration at a time, and only one in all. */
export class WalReader implements AsyncIterable<WalRecordBatch> {
  /** Major version of Postgres, 14 to 17. */
  readonly majorVersion: number;
  /** Bytes of a segment. */
  readonly segmentSize: number;
  /** Identifier of the cluster; undefined if no segment contains it. */
  readonly systemIdentifier: bigint | undefined;
  /** Where reading starts. */
  readonly start: Lsn;
  readonly #source: WalSource;
  readonly #options: WalReadOptions;
  readonly #chunks: WalChunk[];
  readonly #assembler: RecordAssembler;
  #segments: WalSegments;
  #isUsed = false;
  /**
   * Where growing WAL seemed damaged and was read once more. The pieces are read one after the other, so the end of one
   * can be older than the start of the next, which then looks as if something were missing.
   */
  #readAgainFrom: Lsn | undefined;

  /** Use `openWal`. @internal */
  constructor(
    source: WalSource,
    segments: WalSegments,
    options: WalReadOptions,
    chunks: WalChunk[],
  ) {
    const { geometry, path } = segments;
    ({ majorVersion: this.majorVersion, segmentSize: this.segmentSize } = geometry);
    this.systemIdentifier = geometry.systemIdentifier;
    this.start = options.start ?? segments.starts[0] ?? 0n;
    this.#source = source;
    this.#segments = segments;
    this.#options = options;
    this.#chunks = chunks;
    this.#assembler = new RecordAssembler({
      geometry,
      path,
      start: this.start,
      end: options.end ?? ALL_LSNS.end,
      damage: options.skipCorrupt === true ? 'skip' : 'stop',
      maximumRecordLength: options.maximumRecordLength ?? MAXIMUM_WAL_RECORD_LENGTH,
      capacity: CHUNK_LENGTH,
      pathAt: (lsn) => this.#segments.pathAt(lsn),
    });
  }

  /** The last timeline of the WAL. While WAL grows, it may change to that of a promoted server. */
  get timelineId(): number {
    return this.#segments.path.timelineId;
  }

  /** Where the present segments begin and end. @internal */
  get extent(): { readonly start: Lsn; readonly end: Lsn } {
    const { starts } = this.#segments;
    return { start: starts[0] ?? 0n, end: (starts.at(-1) ?? 0n) + BigInt(this.segmentSize) };
  }

  /** Segments of older timelines that are left out for want of a history. @internal */
  get unlinkedCount(): number {
    return this.#segments.unlinkedCount;
  }

  /** How the WAL ended; undefined until all batches have been read. */
  get end(): WalEnd | undefined {
    return this.#assembler.end;
  }

  /**
   * The batches; each is valid until the next one is requested.
   *
   * Throws: as the source (`io`, `truncated` if a file shrinks, `network`, `denied`), `aborted`; `changed` if a new
   * timeline branched off before the end of what was read; `invalid-input` if the reader has been used. Damage to the
   * WAL does not throw: see `end`.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<WalRecordBatch, void, undefined> {
    if (this.#isUsed) {
      throw new StorageError('invalid-input', {
        what: 'iteration over a WAL reader',
        path: this.#source.path,
        expected: 'a single one',
        actual: 'a second one',
      });
    }
    this.#isUsed = true;
    for (;;) {
      yield* this.#readOn();
      if (!(await this.#hasMore())) return;
    }
  }

  /** Reads until the WAL has ended. */
  async *#readOn(): AsyncGenerator<WalRecordBatch, void, undefined> {
    const assembler = this.#assembler;
    const { end, signal } = this.#options;
    const segments = this.#segments;
    const from = assembler.wanted;
    const chunks = this.#chunks;
    await this.#noteFirstSegment(from);
    const feed = feedOf({ segments, from, end, capacity: CHUNK_LENGTH, chunks, signal });
    for await (const item of feed) {
      if (item.kind === 'end') assembler.finish(item.error);
      else if (item.kind !== 'chunk') assembler.interrupt(item.kind, item.error);
      else assembler.accept(item.chunk);
      for (let batch = assembler.next(); batch !== undefined; batch = assembler.next()) yield batch;
      if (assembler.end !== undefined) return;
    }
    assembler.finishRange();
  }

  /** If reading starts inside a segment, its first page would not be read. */
  async #noteFirstSegment(from: Lsn): Promise<void> {
    const start = from - (from % BigInt(this.segmentSize));
    if (from === start) return;
    const head = await this.#segments.headOf(start, this.#options.signal);
    if (head !== undefined) this.#assembler.noteSegment(head, start);
  }

  /** Whether the caller wants to wait, and WAL may have come. */
  async #hasMore(): Promise<boolean> {
    const { waitForMore, timeline, signal } = this.#options;
    const { end } = this;
    if (waitForMore === undefined || end === undefined || end.kind === 'end-of-range') return false;
    if (end.kind === 'end-of-wal' || end.kind === 'truncated') {
      const hasMore = await waitForMore(end.lsn);
      checkBoolean('result of waitForMore', hasMore);
      if (!hasMore) return false;
    } else if (this.#readAgainFrom === end.lsn) return false;
    else this.#readAgainFrom = end.lsn;
    throwIfAborted(signal, this.#source.path);
    const before = this.#segments;
    const segments = await WalSegments.list(this.#source, { timeline, signal, before });
    this.#checkContinued(before.path, segments.path, end.lsn);
    this.#segments = segments;
    this.#assembler.resume(segments.path);
    return true;
  }

  /** A server may have been promoted in the meantime, but the WAL read so far must be on the path to its timeline. */
  #checkContinued(before: TimelinePath, now: TimelinePath, lsn: Lsn): void {
    const [expected, actual] = [before, now].map((path) => path.timelineAt(lsn - 1n));
    if (expected === actual) return;
    throw new StorageError('changed', {
      what: 'WAL that was read has been replaced by that of another timeline',
      path: this.#source.path,
      lsn: formatLsn(lsn),
      expected: `timeline ${expected}`,
      actual: `timeline ${actual}`,
    });
  }
}
