/**
 * The values that an ingest reads: those of the timeline that it continues, and those that it has put itself. Neon's
 * own records are applied; a page that only Postgres's redo can build is an error, unless a redo program is given.
 *
 * Own values are looked up in the batch, then in the layers of the line. Values that have been passed on are read from
 * the output, which is reopened after a border when a read needs it.
 */
import { StorageError } from '../../errors.ts';
import type { EphemeralEntry } from '../../layers/ephemeral-layer/ephemeral-layer.ts';
import { formatKey, type Key } from '../../layers/key.ts';
import { formatLsn, type Lsn } from '../../layers/lsn.ts';
import { outlineOfValue } from '../../layers/value-outline.ts';
import type { RedoRunner } from '../../timeline/materialize.ts';
import { resultOf } from '../../timeline/read-page.ts';
import type { Reconstruction, TimelineEntry } from '../../timeline/reconstruct.ts';
import type { Timeline } from '../../timeline/timeline.ts';

/** Values that are not in the timeline yet: those of a key at or before an LSN, newest first. */
export type FindOwn = (key: Key, lsn: Lsn) => Promise<EphemeralEntry[]>;

export interface IngestBaseOptions {
  /** The timeline that is continued. The base closes it. */
  readonly timeline: Timeline;
  /** Values above it. */
  readonly own: FindOwn;
  /** Opens the timeline again, with the layers that were added. */
  readonly reopen: () => Promise<Timeline>;
  /** Version of Postgres. */
  readonly pgVersion: number;
  readonly redo: RedoRunner | undefined;
  readonly signal: AbortSignal | undefined;
}

export class TimelineBase {
  readonly #options: IngestBaseOptions;
  #timeline: Timeline;
  #isStale = false;
  #reopening: Promise<void> | undefined;

  constructor(options: IngestBaseOptions) {
    this.#options = options;
    this.#timeline = options.timeline;
  }

  /** Called when the timeline has more layers than when it was opened. */
  noteAdvance(): void {
    this.#isStale = true;
  }

  /**
   * The value of a key at an LSN: a page, or the content of any other key.
   *
   * Returns: new bytes; undefined if there is none.
   * Throws: `needs-redo`, `no-base`, and as `Timeline.reconstruct`.
   */
  async get(key: Key, lsn: Lsn): Promise<Uint8Array | undefined> {
    const { own: find, pgVersion, redo, signal } = this.#options;
    const found = await find(key, lsn);
    if (this.#isStale) await this.#reopen();
    const { lastLsn, facts } = this.#timeline;
    // Values that were passed on in the meantime are in both.
    const own = found.filter((entry) => entry.lsn > lastLsn);
    const isComplete = own.at(-1)?.willInit === true;
    const below = isComplete
      ? undefined
      : await this.#timeline.reconstruct(key, lsn < lastLsn ? lsn : lastLsn, { signal });
    const entries = own.map((entry) => ownEntry(entry, facts.timelineId));
    const options = { pgVersion, redo, signal };
    const result = await resultOf(joined({ key, lsn }, entries, below), options);
    switch (result.kind) {
      case 'page':
        return result.bytes;
      case 'missing':
        return undefined;
      case 'no-base':
        throw unreadable('no-base', 'records without a page below them', { key, lsn });
      case 'needs-redo':
        throw unreadable('needs-redo', `page needed by ingest: ${result.needed.reason}`, {
          key,
          lsn: result.needed.entry.lsn,
        });
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#reopening]);
    await this.#timeline.close();
  }

  async #reopen(): Promise<void> {
    this.#reopening ??= this.#replaceTimeline();
    await this.#reopening;
  }

  async #replaceTimeline(): Promise<void> {
    try {
      this.#isStale = false;
      const old = this.#timeline;
      this.#timeline = await this.#options.reopen();
      await old.close();
    } finally {
      this.#reopening = undefined;
    }
  }
}

/** Own entries, newest first, above what the timeline has. */
function joined(
  { key, lsn }: { readonly key: Key; readonly lsn: Lsn },
  own: readonly TimelineEntry[],
  below: Reconstruction | undefined,
): Reconstruction {
  const oldest = own.at(-1);
  const ownBase = below === undefined && oldest?.type === 'image' ? oldest : undefined;
  const ownRecords = (ownBase === undefined ? own : own.slice(0, -1)).toReversed();
  const outcome = below === undefined || own.length === 0 ? undefined : 'no-base';
  return {
    key,
    lsn,
    visits: below?.visits ?? [],
    base: below?.base ?? ownBase,
    records: [...(below?.records ?? []), ...ownRecords],
    outcome: below?.outcome === 'missing' ? (outcome ?? 'missing') : (below?.outcome ?? 'complete'),
  };
}

function ownEntry(entry: EphemeralEntry, timelineId: string | undefined): TimelineEntry {
  const { key, lsn, willInit, bytes } = entry;
  return {
    ...{ key, lsn, willInit, bytes, timelineId },
    ...{ offset: 0, storedLength: bytes.length, compressed: false },
    layer: 'open layer',
    type: outlineOfValue(bytes).type,
    layerKind: 'delta',
  };
}

function unreadable(
  code: 'needs-redo' | 'no-base',
  what: string,
  { key, lsn }: { readonly key: Key; readonly lsn: Lsn },
): StorageError {
  return new StorageError(code, { what, key: formatKey(key), lsn: formatLsn(lsn) });
}
