/**
 * A timeline that is slow and obvious: all versions are in one list, and a read looks through all of it. Keys are
 * small numbers, from 0 up; LSNs are numbers. A page is a text, to which a record appends.
 */
export interface ObviousVersion {
  readonly key: number;
  readonly lsn: number;
  /** An image or the first kind of record makes the page; the second kind appends to it. */
  readonly kind: 'image' | 'first-record' | 'record';
}

/** An image layer has the pages of all keys of its range that have one. */
export interface ObviousImages {
  readonly lsn: number;
  readonly keyStart: number;
  readonly keyEnd: number;
}

/** What a page is made of, by LSNs. */
export interface ObviousParts {
  readonly base: number | undefined;
  /** Ascending. */
  readonly records: readonly number[];
}

interface ObviousTimelineOptions {
  readonly versions: readonly ObviousVersion[];
  readonly images: readonly ObviousImages[];
  readonly ancestor: { readonly timeline: ObviousTimeline; readonly lsn: number } | undefined;
  readonly isInherited: (key: number) => boolean;
}

export class ObviousTimeline {
  readonly #options: ObviousTimelineOptions;

  constructor(options: ObviousTimelineOptions) {
    this.#options = options;
  }

  /** Undefined for a key without a value. */
  partsOf(key: number, lsn: number): ObviousParts | undefined {
    const versions = this.#versionsOf(key, lsn);
    const imageLsn = this.#newestImage(key, lsn);
    const first = versions.find(({ kind }) => kind !== 'record');
    if (imageLsn !== undefined && imageLsn >= (first?.lsn ?? 0)) {
      return { base: imageLsn, records: lsnsAbove(versions, imageLsn) };
    }
    if (first !== undefined) {
      if (first.kind === 'image') {
        return { base: first.lsn, records: lsnsAbove(versions, first.lsn) };
      }
      return { base: undefined, records: lsnsAbove(versions, first.lsn - 1) };
    }
    const inherited = this.#ancestorOf(key, lsn, (timeline, end) => timeline.partsOf(key, end));
    return (
      inherited && { ...inherited, records: [...inherited.records, ...lsnsAbove(versions, 0)] }
    );
  }

  /** Undefined for a key without a value. */
  pageOf(key: number, lsn: number): string | undefined {
    const versions = this.#versionsOf(key, lsn);
    const first = versions.findIndex(({ kind }) => kind !== 'record');
    const made = first < 0 ? versions : versions.slice(0, first + 1);
    const before =
      first < 0 ? this.#ancestorOf(key, lsn, (timeline, end) => timeline.pageOf(key, end)) : '';
    return before === undefined ? undefined : before + made.reverse().map(textOf).join('');
  }

  /** Newest first. */
  #versionsOf(key: number, lsn: number): ObviousVersion[] {
    return this.#options.versions
      .filter((version) => version.key === key && version.lsn <= lsn)
      .sort((left, right) => right.lsn - left.lsn);
  }

  #newestImage(key: number, lsn: number): number | undefined {
    const lsns = this.#options.images
      .filter((images) => images.lsn <= lsn && images.keyStart <= key && key < images.keyEnd)
      .map((images) => images.lsn)
      .filter((imageLsn) => this.pageOf(key, imageLsn) !== undefined);
    return lsns.length === 0 ? undefined : Math.max(...lsns);
  }

  #ancestorOf<T>(
    key: number,
    lsn: number,
    read: (timeline: ObviousTimeline, lsn: number) => T | undefined,
  ): T | undefined {
    const { ancestor, isInherited } = this.#options;
    if (ancestor === undefined || !isInherited(key)) return undefined;
    return read(ancestor.timeline, Math.min(lsn, ancestor.lsn));
  }
}

export function textOf({ key, lsn, kind }: ObviousVersion): string {
  return `${kind} of ${key} at ${lsn}; `;
}

function lsnsAbove(versions: readonly ObviousVersion[], lsn: number): number[] {
  const lsns = versions.map((version) => version.lsn).filter((candidate) => candidate > lsn);
  return lsns.sort((left, right) => left - right);
}
