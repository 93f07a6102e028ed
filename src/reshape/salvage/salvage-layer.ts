/**
 * Makes a new, valid layer from what is left of a damaged one, and reports what is lost.
 *
 *   leaves are left   every entry that a salvaging scan proves (see `layers/layer-file/salvage-scan.ts`), with
 *                     its blob as it is stored
 *   no leaf is left   of a delta layer, the WAL records whose block and LSN their own bytes and those of
 *                     their neighbours prove; values without a key are counted
 *
 * The new layer has the ranges of the original, taken from its name or summary; if both are lost, those of its entries.
 * It is complete and durable under its name, or absent.
 */
import { readExactly } from '../../blob-writer/byte-source.ts';
import { checkBigint, checkOptions, type KnownOptions } from '../../check-options.ts';
import { isStorageError, StorageError } from '../../errors.ts';
import { isDamage } from '../../layers/damage.ts';
import { parseIdentifier } from '../../layers/identifier.ts';
import type { LayerInput } from '../../layers/layer-file/layer-input.ts';
import type { FinishedLayer, WriteOptions } from '../../layers/layer-file/layer-writer.ts';
import { WRITE_OPTIONS } from '../../layers/layer-file/layer-writer.ts';
import { openSource, type ReadOptions } from '../../layers/layer-file/open-file.ts';
import { SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
import { checkLsn, type Lsn } from '../../layers/lsn.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import {
  type IdSource,
  isEverything,
  type LayerOrigin,
  originOf,
  type ReadRanges,
  withRanges,
} from './layer-origin.ts';
import { LossLog, type LostRange } from './loss-log.ts';
import type { PlacedRange } from './record-lsns.ts';
import { type Approach, chooseApproach } from './salvage-approach.ts';
import { salvageEntries } from './salvaged-entries.ts';
import { SalvagedOutput } from './salvaged-output.ts';
import { type UnkeyedBlob, writeLooseRecords } from './unkeyed-blobs.ts';

/** Options of `salvageLayer`. */
export interface SalvageLayerOptions extends Omit<WriteOptions, 'tenantId' | 'timelineId'> {
  /** 32 hex digits. Default: those of the summary, or of the path. */
  readonly tenantId?: string | undefined;
  /** 32 hex digits. Default: those of the summary, or of the path. */
  readonly timelineId?: string | undefined;
  /** LSN of an image layer whose name and summary are lost. */
  readonly lsn?: Lsn | undefined;
  /** Version of Postgres of the WAL records. Default: all of them. */
  readonly pgVersion?: number | undefined;
  /** How the damaged file is read. */
  readonly readOptions?: ReadOptions | undefined;
  /** Called for each blob that has no key and is left out; it may return a promise. */
  readonly onUnkeyed?: ((blob: UnkeyedBlob) => void | Promise<void>) | undefined;
}

const OPTIONS: KnownOptions<SalvageLayerOptions> = {
  ...WRITE_OPTIONS,
  lsn: true,
  pgVersion: true,
  readOptions: true,
  onUnkeyed: 'function',
};

/** The result of a salvage. */
export interface SalvagedFile {
  /** The new layer, durable; undefined if nothing could be recovered. */
  readonly layer: FinishedLayer | undefined;
  /** Entries of the new layer. */
  readonly recovered: number;
  /** What is lost, in the order of the file; at most 1,000 ranges. */
  readonly lost: readonly LostRange[];
  /** Number of all lost ranges. */
  readonly lostCount: number;
  /** Damage without loss, such as an inner block of the index; at most 1,000. */
  readonly repaired: readonly StorageError[];
  /** Number of all such damage. */
  readonly repairedCount: number;
  /** Number of blobs without a key, which are left out. */
  readonly unkeyed: number;
  /**
   * Where tenant and timeline of the new layer come from: `known` from the options, the summary or the path;
   * `presumed` from what is left of the summary; `unknown`, and zero.
   */
  readonly idSource: IdSource;
}

/**
 * Makes a new layer from what is left of a damaged one. The damaged file is only read.
 *
 * @param from A path, or any source of the bytes; a damaged, truncated or unfinished layer.
 * @returns What was recovered and what was lost; the file may even be undamaged.
 * @throws `not-found`, `exists`, `invalid-input`, `io`, `sync-failed`, `aborted`; damage is not thrown. Unless
 * `error.outcome` is `durable` or `in-doubt`, nothing is left in the directory.
 *
 * Durability: once this resolves, the new layer survives a crash.
 *
 * @example
 * const { layer, recovered, lost } = await salvageLayer(path, { directory });
 * for (const { keyStart, keyEnd, error } of lost) report(keyStart, keyEnd, error);
 */
export async function salvageLayer(
  from: LayerInput,
  options: SalvageLayerOptions,
): Promise<SalvagedFile> {
  checkOptions(options, OPTIONS);
  const { lsn, readOptions = {} } = options;
  if (lsn !== undefined) {
    checkBigint('lsn', lsn);
    checkLsn(lsn);
  }
  for (const name of ['tenantId', 'timelineId'] as const) {
    if (options[name] !== undefined) parseIdentifier(options[name], name);
  }
  try {
    return await salvage(from, options, readOptions);
  } catch (error) {
    if (!isStorageError(error) || error.outcome !== undefined) throw error;
    // An error before the layer was finished: of reading, or of writing its values.
    throw error.with({ outcome: 'not-applied' });
  }
}

async function salvage(
  from: LayerInput,
  options: SalvageLayerOptions,
  readOptions: ReadOptions,
): Promise<SalvagedFile> {
  let reader: SalvageReader;
  try {
    reader = await SalvageReader.open(from, readOptions);
  } catch (error) {
    if (isDamage(error)) return nothingOf(from, error, readOptions);
    throw error;
  }
  let origin: LayerOrigin;
  let approach: Approach;
  try {
    origin = await originOf(reader, options);
    approach = await chooseApproach(reader, origin, {
      open: (ranges) => openWithin(from, ranges, readOptions),
      signal: options.signal,
    });
  } finally {
    await reader.close();
  }
  const chosen = await openWithin(from, approach.ranges, readOptions);
  let salvaged: SalvagedFile;
  try {
    salvaged = await write(chosen, { origin, approach, options });
  } catch (error) {
    // The first error is thrown: it says what happened to the layer.
    await Promise.allSettled([chosen.close()]);
    throw error;
  }
  try {
    await chosen.close();
  } catch (error) {
    const isThere = salvaged.layer !== undefined && isStorageError(error);
    throw isThere ? error.with({ outcome: 'durable' }) : error;
  }
  return salvaged;
}

function openWithin(
  from: LayerInput,
  ranges: ReadRanges,
  readOptions: ReadOptions,
): Promise<SalvageReader> {
  return SalvageReader.openAs(from, readOptions, ({ summary }) => withRanges(summary, ranges));
}

/** Of a file that is too short for a layer. */
async function nothingOf(
  from: LayerInput,
  error: StorageError,
  readOptions: ReadOptions,
): Promise<SalvagedFile> {
  const { source, close } = await openSource(from, readOptions);
  const lost = [{ offset: 0, length: source.size, error }];
  await close();
  const nothing = { layer: undefined, recovered: 0, unkeyed: 0, repaired: [], repairedCount: 0 };
  return { ...nothing, lost, lostCount: 1, idSource: 'unknown' };
}

interface Salvage {
  readonly origin: LayerOrigin;
  readonly approach: Approach;
  readonly options: SalvageLayerOptions;
}

async function write(reader: SalvageReader, salvage: Salvage): Promise<SalvagedFile> {
  const { origin, approach, options } = salvage;
  const { ranges, rootError } = approach;
  const { path } = reader;
  const { signal, keyCheck } = options;
  const { tenantId, timelineId } = origin.ids;
  const writing = { ...writeOptionsOf(options), tenantId, timelineId };
  const log = new LossLog(reader.summary.kind, { start: BLOCK_SIZE, path });
  noteSummary(reader, salvage, log);
  const lsn = origin.lsn ?? options.lsn;
  if (origin.kind === 'image' && lsn === undefined) return withoutLsn(reader, origin, log);
  const output = new SalvagedOutput(origin, { writing, ranges, lsn: lsn ?? 0n });
  let looseCount = 0;
  let unkeyed = 0;
  try {
    try {
      await salvageEntries(reader, {
        ...{ log, keyCheck, signal, rootError },
        entry: (entry) => output.put(entry),
        loose: () => {
          looseCount += 1;
        },
      });
    } catch (error) {
      if (!isDamage(error) || isOfOutput(error, reader)) throw error;
      log.block(error);
    }
    if (looseCount > 0) {
      unkeyed = await writeLooseRecords(reader, {
        ...{ log, output, signal, keyCheck },
        lsnRange: lsnRangeOf(reader, salvage),
        valuesEnd: await endOfValues(reader),
        pgVersion: options.pgVersion,
        onUnkeyed: options.onUnkeyed,
      });
    } else {
      const end = await endOfValues(reader);
      log.finish(end, await restOf(reader, log.end, end));
    }
    return reportOf(await output.finish(), { log, unkeyed, idSource: origin.ids.idSource });
  } finally {
    // Does nothing after a finish.
    await output.abandon();
  }
}

/** Damage has the path of the source; an error of the output has another one. */
function isOfOutput(error: StorageError, { path }: SalvageReader): boolean {
  return error.path !== undefined && error.path !== path;
}

function reportOf(
  layer: FinishedLayer | undefined,
  rest: { readonly log: LossLog; readonly unkeyed: number; readonly idSource: IdSource },
): SalvagedFile {
  const { log, unkeyed, idSource } = rest;
  return {
    layer,
    recovered: layer?.entryCount ?? 0,
    lost: log.lost,
    lostCount: log.lostCount,
    repaired: log.harmless,
    repairedCount: log.harmlessCount,
    unkeyed,
    idSource,
  };
}

/** Undefined if they are not known. */
function lsnRangeOf(
  { claimedSummary }: SalvageReader,
  { origin: { named }, approach: { ranges } }: Salvage,
): PlacedRange | undefined {
  if (isEverything(ranges)) return undefined;
  const { lsnRange } = ranges;
  const isNamed = named?.kind === 'delta' && named.lsnRange.start === lsnRange.start;
  const isClaimed =
    claimedSummary?.kind !== 'delta' || claimedSummary.lsnRange.start === lsnRange.start;
  return { ...lsnRange, isStartSure: isNamed && isClaimed };
}

/** A summary is lost unless ids and ranges are known without it. */
function noteSummary(
  { summaryError, indexError, summary }: SalvageReader,
  { origin, approach: { ranges }, options }: Salvage,
  log: LossLog,
): void {
  const isLost =
    origin.ids.idSource !== 'known' ||
    (origin.named === undefined && isEverything(ranges)) ||
    (summary.kind === 'image' && origin.lsn === undefined && options.lsn === undefined);
  if (summaryError === undefined) {
    if (indexError !== undefined) log.note(indexError);
  } else if (isLost) log.add({ offset: 0, length: BLOCK_SIZE, error: summaryError });
  else log.note(summaryError);
}

/** Without its LSN an image layer is meaningless: all of it is lost. */
function withoutLsn(
  { source }: SalvageReader,
  { ids: { idSource } }: LayerOrigin,
  log: LossLog,
): SalvagedFile {
  const error = new StorageError('corrupt', {
    what: 'LSN of the image layer is lost',
    path: source.path,
    offset: 0,
    expected: 'the LSN as an option',
  });
  log.add({ offset: BLOCK_SIZE, length: Math.max(0, source.size - BLOCK_SIZE), error });
  return reportOf(undefined, { log, unkeyed: 0, idSource });
}

/** Where the values end, at most: at the index, or at the end of the file. */
async function endOfValues(reader: SalvageReader): Promise<number> {
  const { startBlock } = await reader.indexLocation();
  const { size } = reader.source;
  return startBlock < 1 ? size : Math.min(size, startBlock * BLOCK_SIZE);
}

/** Whether zeros up to the end of a block are all that follows. */
async function restOf(
  { source }: SalvageReader,
  from: number,
  end: number,
): Promise<'padding' | 'values'> {
  const length = end - from;
  if (length <= 0) return 'padding';
  if (length >= BLOCK_SIZE) return 'values';
  const rest = new Uint8Array(length);
  await readExactly(source, rest, from);
  return rest.every((byte) => byte === 0) ? 'padding' : 'values';
}

/** Without the options that only apply to a salvage. */
function writeOptionsOf(
  options: SalvageLayerOptions,
): Omit<WriteOptions, 'tenantId' | 'timelineId'> {
  const { lsn, pgVersion, readOptions, onUnkeyed, ...writing } = options;
  return writing;
}
