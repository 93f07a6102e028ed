/**
 * Whether the blobs of a scan lie in the order of their entries, back to back or with gaps.
 *
 * Where an entry and the next contradict each other, one of them is damaged: the one that does not
 * fit in with the others, as far as they tell, so that one wrong offset or length costs one entry
 * and not all that it leaps over.
 */
import type { BlobReader } from '../../blob-writer/blob-reader.ts';
import { StorageError } from '../../errors.ts';

/** Loads of what lies before other loads; only a made-up file needs more of them. */
const MAXIMUM_RETURNS = 64;

/** The length of a larger blob is believed: to doubt it could mean to read the same bytes again. */
const MAXIMUM_DOUBTED_LENGTH = 1024 * 1024;

/** File offsets of the entries behind, where the index block has them. */
export interface OffsetsBehind {
  readonly next: number | undefined;
  readonly afterNext: number | undefined;
}

export class BlobOrder {
  readonly #blobs: BlobReader;
  #previousEnd: number;
  #hasPrevious = false;
  /** Highest offset that was loaded, and how often a load was of a lower one. */
  #highestLoad = 0;
  #returns = 0;

  constructor(blobs: BlobReader) {
    this.#blobs = blobs;
    this.#previousEnd = blobs.region.start;
  }

  /** Where the last good blob ends, or else where the values start. */
  get previousEnd(): number {
    return this.#previousEnd;
  }

  /** True if nothing speaks against a blob between the last good one and the next. */
  isInPlace(offset: number, next: number | undefined): boolean {
    return offset >= this.#previousEnd && (next === undefined || offset < next);
  }

  /** For a blob that is not in place: throws `corrupt` unless another is to blame. */
  checkStart(offset: number, behind: OffsetsBehind): void {
    // What lies outside the values is told by whoever looks for it there.
    const { start, end } = this.#blobs.region;
    if (offset < start || offset >= end) return;
    if (offset < this.#previousEnd) {
      throw this.#corrupt('blob starts before the end of the one before it', offset, {
        expected: `at least ${this.#previousEnd}`,
        actual: `${offset}`,
      });
    }
    if (!this.#isLeap(offset, behind)) return;
    throw this.#corrupt('blob does not start before the one behind it', offset, {
      expected: `below ${behind.next}`,
      actual: `${offset}`,
    });
  }

  /**
   * For a blob that reaches into the next: throws `corrupt` unless that one is to blame, because it
   * does not end where the one behind it starts. `nextEnd` is where it ends, if it is one.
   */
  checkEnd(
    offset: number,
    end: number,
    { next, afterNext, nextEnd }: OffsetsBehind & { readonly nextEnd: number | undefined },
  ): void {
    if (next === undefined || next <= offset || end <= next) return;
    const isNextWrong = afterNext !== undefined && nextEnd !== afterNext;
    if (isNextWrong || end - offset > MAXIMUM_DOUBTED_LENGTH) return;
    throw this.#corrupt('blob reaches into the one behind it', offset, {
      expected: `an end at or before ${next}`,
      actual: `${end}`,
    });
  }

  noteGood(end: number): void {
    this.#previousEnd = end;
    this.#hasPrevious = true;
  }

  /** Throws `corrupt` where offsets go back and forth. */
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
   * True if it is this offset that is too high, not the next that is too low: there is a gap in
   * front of it, or the two behind are in order without it.
   */
  #isLeap(offset: number, { next, afterNext }: OffsetsBehind): boolean {
    if (next === undefined || offset < next || next < this.#previousEnd) return false;
    if (this.#hasPrevious) return offset > this.#previousEnd;
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
