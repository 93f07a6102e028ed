/** The JSON of entries of a timeline, and of what a read is made of. */
import { formatKey } from '../layers/key.ts';
import { formatLsn } from '../layers/lsn.ts';
import type { PageResult } from '../timeline/read-page.ts';
import type { LayerVisit, Reconstruction, TimelineEntry } from '../timeline/reconstruct.ts';
import type { Json } from './json.ts';

/** What a read of a key comes to. */
export type ExplainResult = PageResult['kind'];

export function timelineEntryJson(entry: TimelineEntry): Json {
  return {
    key: formatKey(entry.key),
    lsn: formatLsn(entry.lsn),
    layer: entry.layer,
    ...blobJson(entry),
  };
}

export function reconstructionJson(found: Reconstruction, result: ExplainResult): Json {
  const { key, lsn, visits, base, records } = found;
  return {
    key: formatKey(key),
    lsn: formatLsn(lsn),
    visits: visits.map(visitJson),
    base: base === undefined ? null : { lsn: formatLsn(base.lsn), layer: base.layer },
    records: records.length,
    result,
  };
}

function visitJson({ timelineId, layer, lsnRange, entries }: LayerVisit): Json {
  return {
    timeline_id: timelineId ?? null,
    layer,
    lsn_floor: formatLsn(lsnRange.start),
    lsn_end: formatEnd(lsnRange.end),
    entries: entries.map((entry) => ({ lsn: formatLsn(entry.lsn), ...blobJson(entry) })),
  };
}

function blobJson({ offset, storedLength, bytes, type, willInit }: TimelineEntry) {
  return { offset, stored_len: storedLength, len: bytes.length, type, will_init: willInit };
}

/** The end of all LSNs has one digit more. */
export function formatEnd(lsn: bigint): string {
  return lsn > 0xffff_ffff_ffff_ffffn ? lsn.toString(16).toUpperCase() : formatLsn(lsn);
}
