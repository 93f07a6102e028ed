/**
 * Checks of an import on each page: its checksum, if the cluster has checksums, and that its LSN is
 * not above that of the layer, which would mean that the page was changed later.
 *
 * A page with a wrong checksum is a finding. Unless such pages are allowed, no layer is made, but
 * the other pages are still checked, so that all are reported.
 */
import { StorageError, untracedError } from '../errors.ts';
import { formatKey } from '../layers/key.ts';
import { formatLsn, formatPgLsn, type Lsn } from '../layers/lsn.ts';
import { type RelationForkId, relationBlockKey } from './key-mapping.ts';
import type { Objections } from './objections.ts';
import { badPageOf } from './page.ts';

export interface PageInspectorOptions {
  /** Of the layer. */
  readonly lsn: Lsn;
  readonly checksums: 'on' | 'off';
  readonly allowBadPages: boolean;
  readonly onBadPage: ((finding: StorageError) => void) | undefined;
  readonly objections: Objections;
}

/** Where a page was read. */
export interface PagePlace {
  readonly fork: RelationForkId;
  readonly blkno: number;
  readonly path: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
}

export class PageInspector {
  readonly #options: PageInspectorOptions;
  readonly #lsnHigh: number;
  readonly #lsnLow: number;
  #badPageCount = 0;
  #firstBadPage: StorageError | undefined;
  #newerCount = 0;
  #newestLsn: Lsn = 0n;

  constructor(options: PageInspectorOptions) {
    this.#options = options;
    this.#lsnHigh = Number(options.lsn >> 32n);
    this.#lsnLow = Number(options.lsn & 0xffff_ffffn);
  }

  /** Undefined if the cluster has no checksums. */
  get badPageCount(): number | undefined {
    return this.#options.checksums === 'on' ? this.#badPageCount : undefined;
  }

  /** Whether a page was refused, so that no layer is made. */
  get isRefused(): boolean {
    return this.#badPageCount > 0 && !this.#options.allowBadPages;
  }

  /** Throws `out-of-range` for a page that is newer than the layer, unless that is allowed. */
  inspect(page: Uint8Array, place: PagePlace): void {
    if (this.#options.checksums === 'on') {
      const bad = badPageOf(page, place.blkno);
      if (bad !== undefined) {
        this.#addBadPage(bad, place);
        return;
      }
    }
    const view = new DataView(page.buffer, page.byteOffset, 8);
    const high = view.getUint32(0, true);
    if (high < this.#lsnHigh) return;
    const low = view.getUint32(4, true);
    if (high === this.#lsnHigh && low <= this.#lsnLow) return;
    this.#addNewer((BigInt(high) << 32n) | BigInt(low), place);
  }

  /** Throws `corrupt` for bad pages, unless they are allowed. Warns of newer pages. */
  end(): void {
    if (this.isRefused) throw this.#refusal();
    const count = this.#newerCount;
    if (count === 0) return;
    const { lsn, objections } = this.#options;
    const warning = new StorageError('out-of-range', {
      what: `${count === 1 ? '1 page is' : `${count} pages are`} newer than the layer`,
      expected: `LSNs up to ${formatPgLsn(lsn)}`,
      actual: `LSNs up to ${formatPgLsn(this.#newestLsn)}`,
    });
    objections.warn(warning);
  }

  #addBadPage(bad: { expected: string; actual: string }, place: PagePlace): void {
    this.#badPageCount += 1;
    const { fork, blkno, path, offset } = place;
    const key = formatKey(relationBlockKey({ ...fork, blkno }));
    const what = `checksum of block ${blkno}`;
    const finding = untracedError('corrupt', { what, path, offset, key, ...bad });
    this.#firstBadPage ??= finding;
    this.#options.onBadPage?.(finding);
  }

  #refusal(): StorageError {
    const count = this.#badPageCount;
    const cause = this.#firstBadPage;
    const pages =
      count === 1 ? '1 page has a wrong checksum' : `${count} pages have wrong checksums`;
    return new StorageError('corrupt', {
      what: `${pages}, the first of them here`,
      path: cause?.path,
      offset: cause?.offset,
      key: cause?.key,
      cause,
    });
  }

  #addNewer(pageLsn: Lsn, { blkno, path, offset }: PagePlace): void {
    const { lsn, objections } = this.#options;
    if (!objections.isAllowed('unclean')) {
      throw new StorageError('out-of-range', {
        what: `LSN of block ${blkno}, which is newer than the layer`,
        path,
        offset,
        lsn: formatLsn(pageLsn),
        expected: `at most ${formatPgLsn(lsn)}`,
        actual: formatPgLsn(pageLsn),
      });
    }
    this.#newerCount += 1;
    if (pageLsn > this.#newestLsn) this.#newestLsn = pageLsn;
  }
}
