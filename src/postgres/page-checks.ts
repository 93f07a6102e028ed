/**
 * Checksums of the pages in layers, for `verifyLayer`.
 *
 * The layer of an imported cluster with checksums has them in every page. A pageserver does not
 * set them: a page that it has made from WAL has a stale one or none, in an image layer as in a
 * delta. So a mismatch there says nothing, and a page without one is only counted.
 */
import { isStorageError, StorageError } from '../errors.ts';
import { formatKey } from '../layers/key.ts';
import { formatLsn } from '../layers/lsn.ts';
import { viewValue } from '../layers/value-format.ts';
import type { InspectedValue } from '../layers/value-inspection.ts';
import { describeKey } from './key-mapping.ts';
import { checkPageChecksum, decodePageHeader, PAGE_SIZE, pageChecksum } from './page.ts';

/** How many pages were seen, by what their checksums say. */
export interface PageCounts {
  readonly good: number;
  readonly bad: number;
  /** All zero. */
  readonly new: number;
  /** With a checksum of 0. */
  readonly without: number;
}

export class PageChecks {
  #good = 0;
  #bad = 0;
  #new = 0;
  #without = 0;

  get counts(): PageCounts {
    return { good: this.#good, bad: this.#bad, new: this.#new, without: this.#without };
  }

  /**
   * For the option `inspectValue` of `verifyLayer`: looks at the value if it is the image of a
   * relation's block, in any fork. Returns: `corrupt` for a checksum that does not match.
   */
  readonly inspect = (value: InspectedValue): StorageError | undefined => {
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

/** Undefined for a record, and for a value that does not decode, which `verifyLayer` reports. */
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
