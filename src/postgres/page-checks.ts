/**
 * Checksums of the pages in layers, for `verifyLayer`.
 *
 * In the layer of an imported cluster with checksums every page has one. A pageserver does not
 * maintain them: a page that it made from WAL has a stale checksum or none, in image layers and in
 * deltas. There a mismatch means nothing. A page without a checksum is only counted.
 */
import { checkBytes, checkObject, checkOneOf } from '../check-options.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { formatKey } from '../layers/key.ts';
import { formatLsn } from '../layers/lsn.ts';
import { viewValue } from '../layers/value-format.ts';
import type { InspectedValue } from '../layers/value-inspection.ts';
import { describeKey } from './key-mapping.ts';
import { checkPageChecksum, decodePageHeader, PAGE_SIZE, pageChecksum } from './page.ts';

/** Number of pages by the state of their checksums. */
export interface PageCounts {
  /** Pages with a correct checksum. */
  readonly good: number;
  /** With a checksum that does not match. */
  readonly bad: number;
  /** All zero. */
  readonly new: number;
  /** With a checksum of 0. */
  readonly without: number;
}

/**
 * Checks the checksums of Postgres pages while `verifyLayer` reads a layer, and counts them.
 *
 * @example
 *   const checks = new PageChecks();
 *   const report = await verifyLayer(path, { inspectValue: checks.inspect });
 *   checks.counts.bad;
 */
export class PageChecks {
  #good = 0;
  #bad = 0;
  #new = 0;
  #without = 0;

  /** The pages so far. */
  get counts(): PageCounts {
    return { good: this.#good, bad: this.#bad, new: this.#new, without: this.#without };
  }

  /**
   * For the option `inspectValue` of `verifyLayer`: checks a value that is the image of a block of
   * a relation, in any fork.
   *
   * @returns An error `corrupt` if the checksum does not match.
   * @throws `invalid-input` for what `verifyLayer` does not pass.
   */
  readonly inspect = (value: InspectedValue): StorageError | undefined => {
    checkObject('value', value);
    checkOneOf('kind', value.kind, LAYER_KINDS);
    checkBytes(value.bytes, 'bytes');
    const page = imageOf(value);
    if (page?.length !== PAGE_SIZE) return undefined;
    const meaning = describeKey(value.key);
    if (meaning.kind !== 'rel_block') return undefined;
    switch (checkPageChecksum(page, meaning.blkno)) {
      case 'good':
        this.#good += 1;
        return undefined;
      case 'new':
        this.#new += 1;
        return undefined;
      case 'absent':
        this.#without += 1;
        return undefined;
      case 'mismatch':
        this.#bad += 1;
        return mismatch(value, page, meaning.blkno);
    }
  };
}

const LAYER_KINDS: readonly InspectedValue['kind'][] = ['delta', 'image'];

/** Undefined for a WAL record, and for a value that does not decode, which `verifyLayer` reports. */
function imageOf({ kind, bytes }: InspectedValue): Uint8Array | undefined {
  if (kind === 'image') return bytes;
  try {
    const value = viewValue(bytes);
    return value.type === 'image' ? value.bytes : undefined;
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
}

function mismatch(
  { key, lsn, offset }: InspectedValue,
  page: Uint8Array,
  blockNumber: number,
): StorageError {
  return new StorageError('corrupt', {
    what: `page checksum of block ${blockNumber}`,
    offset,
    key: formatKey(key),
    lsn: formatLsn(lsn),
    expected: hex(pageChecksum(page, blockNumber)),
    actual: hex(decodePageHeader(page).checksum),
  });
}

function hex(checksum: number): string {
  return `0x${checksum.toString(16).padStart(4, '0')}`;
}
