/** The JSON of entries of a timeline, and of reads. */
import { formatKey } from '../layers/key.ts';
import { formatLsn } from '../layers/lsn.ts';
import type { PageResult } from '../timeline/read-page.ts';
import type { LayerVisit, Reconstruction, TimelineEntry } from '../timeline/reconstruct.ts';
import { encodeJson, type Json } from './json.ts';
import type { RecordReading, ValueFilter } from './value-record.ts';
import { recordJsonOf } from './value-record.ts';

/** The result of a read of a key. */
export type ExplainResult = PageResult['kind'];

/** With the WAL record in words, if its version is known. */
export function timelineEntryJson(entry: TimelineEntry, reading?: RecordReading): Json {
  return {
    key: formatKey(entry.key),
    lsn: formatLsn(entry.lsn),
    layer: entry.layer,
    ...blobJson(entry),
    record: recordJsonOf(entry.type, entry.bytes, reading),
  };
}

/** How the entries of a read are shown. */
export interface EntryDisplay {
  /** Describes WAL records; undefined if their version is not known. */
  readonly reading: RecordReading | undefined;
  /** Only values that pass are listed. The result of the read does not depend on this. */
  readonly filter: ValueFilter | undefined;
}

/**
 * The JSON text of a read, in pieces so that it is joined once. A read may have 10,000 entries, and many reads have
 * millions: their texts, which are digits and words of the format, are composed without an object for each.
 */
export function reconstructionText(
  found: Reconstruction,
  result: ExplainResult,
  display: EntryDisplay,
): string {
  const { key, lsn, visits, base, records } = found;
  const head = encodeJson({ key: formatKey(key), lsn: formatLsn(lsn) });
  const tail = encodeJson({
    base: base === undefined ? null : { lsn: formatLsn(base.lsn), layer: base.layer },
    records: records.length,
    result,
  });
  return `${head.slice(0, -1)},"visits":[${visits.map((visit) => visitText(visit, display)).join()}],${tail.slice(1)}`;
}

function visitText(
  { timelineId, layer, lsnRange, entries }: LayerVisit,
  { reading, filter }: EntryDisplay,
): string {
  const head = encodeJson({
    timeline_id: timelineId ?? null,
    layer,
    lsn_floor: formatLsn(lsnRange.start),
    lsn_end: formatEnd(lsnRange.end),
  });
  const shown =
    filter === undefined ? entries : entries.filter(({ type, bytes }) => filter(type, bytes));
  return `${head.slice(0, -1)},"entries":[${shown.map((entry) => entryText(entry, reading)).join()}]}`;
}

function entryText(
  { lsn, offset, storedLength, bytes, type, willInit }: TimelineEntry,
  reading: RecordReading | undefined,
): string {
  const record = recordJsonOf(type, bytes, reading);
  const more = record === undefined ? '' : `,"record":${encodeJson(record)}`;
  const place = `"lsn":"${formatLsn(lsn)}","offset":${offset},"stored_len":${storedLength}`;
  return `{${place},"len":${bytes.length},"type":"${type}","will_init":${willInit}${more}}`;
}

function blobJson({ offset, storedLength, bytes, type, willInit }: TimelineEntry) {
  return { offset, stored_len: storedLength, len: bytes.length, type, will_init: willInit };
}

/** The end of all LSNs has one more digit. */
function formatEnd(lsn: bigint): string {
  return lsn > 0xffff_ffff_ffff_ffffn ? lsn.toString(16).toUpperCase() : formatLsn(lsn);
}
