/**
 * Which layer a damaged file was: its ids, its ranges and the LSN of its images, according to the name of the
 * file, the summary and the path, as far as each of them can be trusted.
 */
import { basename } from 'node:path';
import { readExactly } from '../../blob-writer/byte-source.ts';
import { compareKeys, type KeyRange, maximumKey, minimumKey } from '../../layers/key.ts';
import { isLikeSummary } from '../../layers/layer-file/presumed-summary.ts';
import type { SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
import type { LayerSummary } from '../../layers/layer-file/summary-format.ts';
import { ALL_LSNS, type Lsn, type LsnRange } from '../../layers/lsn.ts';
import { type NamedLayer, namedLayer } from '../../layers/unfinished-name.ts';

/** Ranges under which a file is read. */
export interface ReadRanges {
  readonly keyRange: KeyRange;
  /** Of a delta layer. */
  readonly lsnRange: LsnRange;
}

export const ALL_KEYS: KeyRange = { start: minimumKey(), end: maximumKey() };
const EVERYTHING: ReadRanges = { keyRange: ALL_KEYS, lsnRange: ALL_LSNS };

/** Where the ids of a salvaged layer come from. */
export type IdSource = 'known' | 'presumed' | 'unknown';

export interface LayerIds {
  readonly tenantId: string;
  readonly timelineId: string;
  readonly idSource: IdSource;
}

export interface LayerOrigin {
  readonly kind: 'delta' | 'image';
  readonly ids: LayerIds;
  /** Ranges that the layer may have had, the likeliest first; the last ones exclude nothing. */
  readonly ranges: readonly ReadRanges[];
  /** The key range of the name or the summary, if both are the same or one is lost. */
  readonly named: NamedLayer | undefined;
  /** LSN of an image layer; undefined if it is lost. */
  readonly lsn: Lsn | undefined;
}

/** Throws: `io`, `aborted`. */
export async function originOf(
  reader: SalvageReader,
  given: { readonly tenantId?: string | undefined; readonly timelineId?: string | undefined },
): Promise<LayerOrigin> {
  const { path, summary } = reader;
  const name = path === undefined ? undefined : namedLayer(basename(path));
  const named = name?.kind === summary.kind ? name : undefined;
  const isMeant = reader.summaryError === undefined || (await isSummaryLike(reader));
  const ranges: ReadRanges[] = [];
  if (named !== undefined) ranges.push(rangesOfName(named));
  if (isMeant && hasRanges(reader)) ranges.push(rangesOf(summary));
  if (ranges.length < 2 || !sameRanges(ranges[0], ranges[1])) ranges.push(EVERYTHING);
  // Of an image layer nothing has compared the two keys.
  const valid = ranges.filter(({ keyRange }) => compareKeys(keyRange.start, keyRange.end) < 0);
  // No image is at LSN 0.
  const isLsnMeant = isMeant && summary.kind === 'image' && summary.lsn > 0n;
  return {
    kind: summary.kind,
    ids: idsOf(reader, isMeant, given),
    ranges: valid.filter((range, at) => at === 0 || !sameRanges(range, valid[at - 1])),
    named,
    lsn: named?.kind === 'image' ? named.lsn : isLsnMeant ? summary.lsn : undefined,
  };
}

/** The summary, with these ranges. */
export function withRanges(summary: LayerSummary, ranges: ReadRanges): LayerSummary {
  if (summary.kind === 'image') return { ...summary, keyRange: ranges.keyRange };
  return { ...summary, ...ranges };
}

/** True for ranges that exclude nothing, so that they say nothing about the layer. */
export function isEverything(ranges: ReadRanges): boolean {
  return ranges === EVERYTHING;
}

/** False where ranges are presumed because those of the summary are not ranges. */
function hasRanges({ summary, summaryError }: SalvageReader): boolean {
  if (summaryError === undefined) return true;
  if (summary.kind === 'delta') return summary.lsnRange.end < ALL_LSNS.end;
  return (
    compareKeys(summary.keyRange.start, ALL_KEYS.start) !== 0 ||
    compareKeys(summary.keyRange.end, ALL_KEYS.end) !== 0
  );
}

function rangesOfName(named: NamedLayer): ReadRanges {
  if (named.kind === 'image') return { keyRange: named.keyRange, lsnRange: ALL_LSNS };
  const { keyRange = { start: named.keyStart, end: maximumKey() }, lsnRange } = named;
  return { keyRange, lsnRange };
}

function rangesOf(summary: LayerSummary): ReadRanges {
  const lsnRange = summary.kind === 'delta' ? summary.lsnRange : ALL_LSNS;
  return { keyRange: summary.keyRange, lsnRange };
}

function sameRanges(one: ReadRanges | undefined, other: ReadRanges | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  return (
    compareKeys(one.keyRange.start, other.keyRange.start) === 0 &&
    compareKeys(one.keyRange.end, other.keyRange.end) === 0 &&
    one.lsnRange.start === other.lsnRange.start &&
    one.lsnRange.end === other.lsnRange.end
  );
}

/** Whether block 0 begins like a summary, although it is damaged. */
async function isSummaryLike({ source }: SalvageReader): Promise<boolean> {
  const begin = new Uint8Array(4);
  await readExactly(source, begin, 0);
  return isLikeSummary(new DataView(begin.buffer));
}

const ZERO_ID = '0'.repeat(32);
const PLACE =
  /(?:^|[/\\])tenants[/\\](?<tenant>[0-9a-fA-F]{32})(?:-[0-9a-fA-F]{4})?[/\\]timelines[/\\](?<timeline>[0-9a-fA-F]{32})[/\\]/;

/** Those that are given; else those of the summary, of the path, and of what is left of the summary. */
function idsOf(
  { summary, claimedSummary, path = '' }: SalvageReader,
  isMeant: boolean,
  given: { readonly tenantId?: string | undefined; readonly timelineId?: string | undefined },
): LayerIds {
  const { tenant, timeline } = PLACE.exec(path)?.groups ?? {};
  const known = claimedSummary ?? { tenantId: tenant, timelineId: timeline };
  const left = isMeant ? summary : { tenantId: ZERO_ID, timelineId: ZERO_ID };
  const tenantId = given.tenantId ?? known.tenantId;
  const timelineId = given.timelineId ?? known.timelineId;
  const isKnown = tenantId !== undefined && timelineId !== undefined;
  const unknown = isMeant && left.tenantId !== ZERO_ID ? 'presumed' : 'unknown';
  return {
    tenantId: (tenantId ?? left.tenantId).toLowerCase(),
    timelineId: (timelineId ?? left.timelineId).toLowerCase(),
    idSource: isKnown ? 'known' : unknown,
  };
}
