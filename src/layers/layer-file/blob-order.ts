/**
 * Checks that the blobs of a scan lie in the order of their entries, back to back or with gaps.
 *
 * If an entry and the next one contradict each other, one of them is damaged: the one that is
 * inconsistent with its other neighbours, as far as they are known. So one wrong offset or length costs
 * one entry, and not all entries that it skips, whether they are in the same leaf or in the leaves after it.
 */
import type { BlobReader } from '../../blob-writer/blob-reader.ts';
import type { BlobScanner } from '../../blob-writer/blob-scanner.ts';
import { StorageError } from '../../errors.ts';
import { type BlobEnd, endOfBlobAt, type NextOffsets } from './next-offsets.ts';

/** Maximum number of loads before an earlier load; only a forged file needs more. */
const MAXIMUM_RETURNS = 64;

/**
 * Checking the length of a larger blob means reading bytes again. In total, at most as many bytes as the values have
 * are read again; after that, lengths are trusted.
 */
const FREELY_DOUBTED_LENGTH = 1024 * 1024;

interface FollowingBlobs extends NextOffsets {
  readonly nextEnd: BlobEnd;
  /** Bytes that were read for the blob itself, and may have to be read again for the next ones. */
  readonly readLength: number;
}

export class BlobOrder {
  readonly #blobs: BlobReader;
  #previousEnd: number;
  #hasPrevious = false;
  /** Offset of the last valid blob if its end is in doubt; otherwise infinite. */
  #doubtedStart = Number.POSITIVE_INFINITY;
  #previousStart = 0;
  /** The highest loaded offset, and the number of later loads at lower offsets. */
  #highestLoad = 0;
  #returns = 0;
  /** Bytes that are read again because the length of a blob was doubted. */
  #doubtedLength = 0;

  constructor(blobs: BlobReader) {
    this.#blobs = blobs;
    this.#previousEnd = blobs.region.start;
  }

  /** End of the last valid blob, or the start of the values. */
  get previousEnd(): number {
    return this.#previousEnd;
  }

  /** True if something lies between the last valid blob and this offset. */
  isAfterGap(offset: number): boolean {
    return this.#hasPrevious && offset > this.#previousEnd;
  }

  /** True if a blob at `offset` can lie between the last valid one and the next. */
  isInPlace(offset: number, next: number | undefined): boolean {
    return offset >= this.#previousEnd && (next === undefined || offset < next);
  }

  /** For a blob that is not in place: throws `corrupt` unless a neighbour is damaged instead. */
  checkStart(offset: number, following: NextOffsets): void {
    // Reading reports an offset outside the values.
    const { start, end } = this.#blobs.region;
    if (offset < start || offset >= end) return;
    if (offset < this.#previousEnd && !this.#mayStartWithin(offset)) {
      throw this.#corrupt('blob starts before the end of the one before it', offset, {
        expected: `at least ${this.#previousEnd}`,
        actual: `${offset}`,
      });
    }
    if (!this.#isLeap(offset, following)) return;
    throw this.#corrupt('blob does not start before the next one', offset, {
      expected: `below ${following.next}`,
      actual: `${offset}`,
    });
  }

  /**
   * For a blob that overlaps the next one: throws `corrupt`, unless the next one is damaged, because it
   * is not a blob, or does not end where the one after it starts. A blob that overlaps both is damaged itself.
   */
  checkEnd(
    offset: number,
    end: number,
    { next, afterNext, nextEnd, readLength }: FollowingBlobs,
  ): void {
    if (next === undefined || next <= offset || end <= next) return;
    const overlapsBoth = afterNext !== undefined && next < afterNext && afterNext < end;
    const isNextWrong =
      nextEnd === 'unreadable' ||
      (afterNext !== undefined && nextEnd !== 'unknown' && nextEnd !== afterNext);
    if ((isNextWrong && !overlapsBoth) || !this.#mayDoubt(readLength)) return;
    throw this.#corrupt('blob overlaps the next one', offset, {
      expected: `an end at or before ${next}`,
      actual: `${end}`,
    });
  }

  /** As `checkEnd`, for a blob of which at most the header is in memory, so that a wrong length costs no read. */
  checkUnread(offset: number, following: NextOffsets, scanner: BlobScanner): void {
    const { next } = following;
    const end = endOfBlobAt(offset, scanner);
    if (next === undefined || typeof end !== 'number' || end <= next) return;
    const nextEnd = endOfBlobAt(next, scanner);
    if (nextEnd !== 'unknown') this.checkEnd(offset, end, { ...following, nextEnd, readLength: 0 });
  }

  #mayDoubt(length: number): boolean {
    return length <= FREELY_DOUBTED_LENGTH || this.#mayReadAgain(length);
  }

  #mayReadAgain(length: number): boolean {
    const { start, end } = this.#blobs.region;
    this.#doubtedLength += length;
    return this.#doubtedLength <= end - start;
  }

  /** Records a valid blob, the last one of its row. */
  accept(offset: number, end: number): void {
    this.#previousStart = offset;
    this.#previousEnd = end;
    this.#hasPrevious = true;
    this.#doubtedStart = Number.POSITIVE_INFINITY;
  }

  /** After damage of the index: nothing has confirmed the end of the last blob, which may reach too far. */
  doubtEnd(): void {
    if (this.#hasPrevious) this.#doubtedStart = this.#previousStart;
  }

  /** Whether a blob may start within the one before it, whose end is in doubt. */
  #mayStartWithin(offset: number): boolean {
    return offset > this.#doubtedStart && this.#mayReadAgain(this.#previousEnd - offset);
  }

  /** Throws `corrupt` if offsets go back and forth. */
  noteLoad(offset: number): void {
    if (offset >= this.#highestLoad) {
      this.#highestLoad = offset;
      return;
    }
    this.#returns += 1;
    if (this.#returns <= MAXIMUM_RETURNS) return;
    throw this.#corrupt('blob lies before others that were read', offset, {
      expected: `at most ${MAXIMUM_RETURNS} such blobs`,
      actual: 'more',
    });
  }

  /**
   * True if this offset is too high, not the next one too low: there is a gap before it, or the next
   * two are in order without it.
   */
  #isLeap(offset: number, { next, afterNext }: NextOffsets): boolean {
    if (next === undefined || offset < next || next < this.#previousEnd) return false;
    if (this.#hasPrevious) return this.isAfterGap(offset);
    return afterNext === undefined || (next < afterNext && afterNext <= offset);
  }

  #corrupt(
    what: string,
    offset: number,
    found: { readonly expected: string; readonly actual: string },
  ): StorageError {
    return new StorageError('corrupt', { what, path: this.#blobs.source.path, offset, ...found });
  }
}
