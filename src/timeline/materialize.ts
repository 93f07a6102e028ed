/**
 * Builds the page from a reconstruction, as far as possible without Postgres's redo.
 *
 * An image is the page. A record of Postgres gives the page if it has an image of the block that applies, and its redo
 * does no more than restore it. Neon's own records are applied here. Everything else needs a redo process, which gets
 * runs of Postgres's records; runs of Neon's own are applied in between.
 *
 * The effect of a record on a page that a later image replaces does not matter, so the work begins at the newest image.
 */
import { isStorageError } from '../errors.ts';
import { formatKey, type Key } from '../layers/key.ts';
import { formatLsn } from '../layers/lsn.ts';
import { decodeValue, type Value } from '../layers/value-format.ts';
import { forkNumberOf } from '../postgres/fork.ts';
import { describeKey, type KeyMeaning } from '../postgres/key-mapping.ts';
import { changeByNeonRecord, isNeonRecord } from '../postgres/neon-records.ts';
import { decodePageHeader, PAGE_SIZE, setPageLsn } from '../postgres/page.ts';
import { restoreBlockImage } from '../wal/block-image.ts';
import { type BlockReference, decodeWalRecord, type WalRecord } from '../wal/record-format.ts';
import type { Reconstruction, TimelineEntry } from './reconstruct.ts';
import type { RedoRecord, RedoRequest } from './wal-redo/messages.ts';

/** A record of Postgres that only its own redo can apply. */
export interface NeededRedo {
  /** The first entry that needs it. */
  readonly entry: TimelineEntry;
  /** Why, as a short clause. */
  readonly reason: string;
}

/** The value of a key, as far as it is known without redo. */
export type Materialized =
  | { readonly kind: 'value'; readonly bytes: Uint8Array }
  | { readonly kind: 'needs-redo'; readonly needed: NeededRedo };

/** Applies records to a page, such as a `RedoProcess`. */
export interface RedoRunner {
  /** Applies records to a page. Returns: 8,192 bytes. */
  apply(request: RedoRequest, signal?: AbortSignal): Promise<Uint8Array>;
}

/** What `readPage` needs to build a page from its values. */
export interface MaterializeOptions {
  /** Version of Postgres, 14 to 17; undefined if unknown: then no record of Postgres can be read. */
  readonly pgVersion: number | undefined;
  /** Applies what needs Postgres. */
  readonly redo?: RedoRunner | undefined;
  /** Ends reads and the redo process. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes the value of a complete reconstruction.
 *
 * Returns: new bytes, or what needs redo.
 * Throws: `corrupt` and others for a record that cannot be read, with its place; what `redo` throws.
 */
export async function materialize(
  reconstruction: Reconstruction,
  options: MaterializeOptions,
): Promise<Materialized> {
  const { key } = reconstruction;
  const steps = new Steps(reconstruction);
  const start = await newestStart(steps, { key, ...options });
  // Changed in place.
  let page = start?.page;
  let from = start === undefined ? 0 : start.index + 1;
  while (from < steps.count) {
    const entry = steps.entry(from);
    const value = steps.value(from);
    if (isNeonRecord(value)) {
      page = changeByNeonRecord(page ?? noPage(), { key, lsn: entry.lsn, record: value });
      from += 1;
      continue;
    }
    if (page !== undefined && isApplied(page, entry, key)) {
      from += 1;
      continue;
    }
    if (options.redo === undefined)
      return { kind: 'needs-redo', needed: neededRedo(entry, options) };
    const run = redoRun(steps, from);
    const base = page === undefined ? undefined : page.subarray(0, PAGE_SIZE);
    const made = await options.redo.apply({ key, base, records: run }, options.signal);
    page = made.slice();
    from += run.length;
  }
  return { kind: 'value', bytes: page ?? noPage() };
}

/**
 * Whether the newest record of Postgres shows that a complete reconstruction needs redo: it does not restore the page,
 * and no page below it can include its effect. False if only `materialize` can decide.
 *
 * Throws: as `materialize`.
 */
export function surelyNeedsRedo(
  { key, base, records }: Reconstruction,
  pgVersion: number | undefined,
): boolean {
  const newest = records.findLast(({ type }) => type === 'wal' || type === 'image');
  if (newest?.type !== 'wal') return false;
  const value = decodeValue(newest.bytes);
  if (value.type !== 'wal') return false;
  if (restoringBlock(value.bytes, newest, { key, pgVersion }) !== undefined) return false;
  // A page that an older record restores has the LSN of that record.
  const image = base && valueOfEntry(base);
  return image?.type !== 'image' || !isApplied(image.bytes, newest, key);
}

/**
 * What a redo process needs to build the page, if a single run of Postgres's records does so: the page before the run
 * is built here. Undefined if no redo is needed, or if Neon's own records follow the run.
 */
export async function redoRequestOf(
  reconstruction: Reconstruction,
  options: MaterializeOptions,
): Promise<RedoRequest | undefined> {
  let request: RedoRequest | undefined;
  let runs = 0;
  const redo: RedoRunner = {
    async apply(run) {
      request = run;
      runs += 1;
      return new Uint8Array(PAGE_SIZE);
    },
  };
  await materialize(reconstruction, { ...options, redo });
  const last = request?.records.at(-1)?.lsn;
  const isLast = last === reconstruction.records.at(-1)?.lsn;
  return runs === 1 && isLast ? request : undefined;
}

/** The base and the records in the order of applying, decoded when they are needed. */
class Steps {
  readonly #entries: readonly TimelineEntry[];
  readonly #values: (Value | undefined)[];

  constructor({ base, records }: Reconstruction) {
    this.#entries = base === undefined ? records : [base, ...records];
    this.#values = new Array(this.#entries.length);
  }

  get count(): number {
    return this.#entries.length;
  }

  entry(index: number): TimelineEntry {
    return this.#entries[index] as TimelineEntry;
  }

  /** Throws as `decodeValue`. */
  value(index: number): Value {
    const value = this.#values[index] ?? valueOfEntry(this.entry(index));
    this.#values[index] = value;
    return value;
  }
}

function valueOfEntry({ layerKind, bytes }: TimelineEntry): Value {
  return layerKind === 'image' ? { type: 'image', bytes } : decodeValue(bytes);
}

interface Start {
  readonly index: number;
  readonly page: Uint8Array;
}

interface AboutPage {
  readonly key: Key;
  readonly pgVersion: number | undefined;
}

/** The newest step that sets the whole page, whatever it contained before. */
async function newestStart(steps: Steps, about: AboutPage): Promise<Start | undefined> {
  for (let index = steps.count - 1; index >= 0; index -= 1) {
    const value = steps.value(index);
    if (value.type === 'image') return { index, page: value.bytes.slice() };
    if (value.type !== 'wal') continue;
    const entry = steps.entry(index);
    const image = restoringBlock(value.bytes, entry, about)?.image;
    if (image === undefined) continue;
    const page = await located(entry, restoreBlockImage(image));
    setPageLsn(page, entry.lsn);
    return { index, page };
  }
  return undefined;
}

/** The block of a record whose image is the page after its redo; undefined without one. */
function restoringBlock(
  bytes: Uint8Array,
  entry: TimelineEntry,
  { key, pgVersion }: AboutPage,
): BlockReference | undefined {
  if (pgVersion === undefined) return undefined;
  const record = decodeRecord(bytes, entry, pgVersion);
  const block = record.blocks.find((candidate) => isBlockOf(candidate, key));
  return block?.image?.apply && !doesMore(record, block) ? block : undefined;
}

function decodeRecord(bytes: Uint8Array, entry: TimelineEntry, pgVersion: number): WalRecord {
  try {
    return decodeWalRecord(bytes, pgVersion);
  } catch (error) {
    throw placed(error, entry);
  }
}

async function located<T>(entry: TimelineEntry, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw placed(error, entry);
  }
}

/** The error with the place of the entry; offsets in a record are not offsets in the file. */
function placed(error: unknown, { key, lsn, layer, offset }: TimelineEntry): unknown {
  if (!isStorageError(error)) return error;
  return error.with({ path: layer, offset, key: formatKey(key), lsn: formatLsn(lsn) });
}

function isBlockOf(block: BlockReference, key: Key): boolean {
  const meaning = describeKey(key);
  return (
    meaning.kind === 'rel_block' &&
    block.spcnode === meaning.spcnode &&
    block.dbnode === meaning.dbnode &&
    block.relnode === meaning.relnode &&
    block.forkNumber === forkNumberOf(meaning.fork) &&
    block.blkno === meaning.blkno
  );
}

const HASH = 12;
const HASH_SPLIT_ALLOCATE_PAGE = 0x40;
const HASH_SPLIT_COMPLETE = 0x60;
const GIST = 14;
const GIST_PAGE_UPDATE = 0x00;
const GIST_PAGE_SPLIT = 0x30;

/** Whether the redo of the record changes the page after restoring its image. */
function doesMore({ resourceManager, info }: WalRecord, { id }: BlockReference): boolean {
  const operation = info & 0xf0;
  if (resourceManager === HASH) {
    if (operation === HASH_SPLIT_ALLOCATE_PAGE) return id === 0;
    return operation === HASH_SPLIT_COMPLETE && id <= 1;
  }
  if (resourceManager !== GIST) return false;
  // The left child of a page that was split.
  return operation === GIST_PAGE_UPDATE ? id === 1 : operation === GIST_PAGE_SPLIT && id === 0;
}

/** A record whose LSN the page has reached does not change it. */
function isApplied(page: Uint8Array, entry: TimelineEntry, key: Key): boolean {
  const meaning: KeyMeaning = describeKey(key);
  if (meaning.kind !== 'rel_block' || page.length !== PAGE_SIZE) return false;
  const { lsn, upper } = decodePageHeader(page);
  return upper !== 0 && lsn >= entry.lsn;
}

function redoRun(steps: Steps, from: number): RedoRecord[] {
  const run: RedoRecord[] = [];
  for (let at = from; at < steps.count; at += 1) {
    const value = steps.value(at);
    if (value.type !== 'wal') break;
    run.push({ lsn: steps.entry(at).lsn, bytes: value.bytes });
  }
  return run;
}

function neededRedo(entry: TimelineEntry, { pgVersion }: MaterializeOptions): NeededRedo {
  const reason =
    pgVersion === undefined
      ? 'a WAL record, whose version of Postgres is not known'
      : 'a WAL record without an image of the page';
  return { entry, reason };
}

/** A complete reconstruction begins with an image, or with a record that makes the page from nothing. */
function noPage(): Uint8Array {
  return new Uint8Array(PAGE_SIZE);
}
