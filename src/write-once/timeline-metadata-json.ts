/**
 * Timeline metadata as the field `metadata` of an `index_part.json` holds it: an object with the
 * names of the fields, LSNs as `HI/LO` text, or, in old files, an array of the 512 bytes.
 *
 * Fields that we do not know are ignored; the two optional ones may be null or missing.
 */
import { corrupt, isStorageError, StorageError } from '../errors.ts';
import { formatIdentifier, parseIdentifier } from '../layers/identifier.ts';
import { formatPgLsn, type Lsn, parseLsn } from '../layers/lsn.ts';
import {
  decodeTimelineMetadata,
  encodeTimelineMetadata,
  TIMELINE_METADATA_SIZE,
  type TimelineMetadataFields,
} from './timeline-metadata.ts';

/** Timeline metadata as JSON; LSNs are `HI/LO` text. */
export interface TimelineMetadataJson {
  /** As `HI/LO`. */
  readonly disk_consistent_lsn: string;
  /** As `HI/LO`, or null. */
  readonly prev_record_lsn: string | null;
  /** 32 hex digits, or null. */
  readonly ancestor_timeline: string | null;
  /** LSN of the branch point, as `HI/LO`. */
  readonly ancestor_lsn: string;
  /** As `HI/LO`. */
  readonly latest_gc_cutoff_lsn: string;
  /** As `HI/LO`. */
  readonly initdb_lsn: string;
  /** 14 to 17. */
  readonly pg_version: number;
}

/**
 * Converts timeline metadata to an object for JSON.stringify.
 *
 * @throws StorageError `out-of-range` or `invalid-input` for fields that the binary form cannot represent
 */
export function timelineMetadataToJson(fields: TimelineMetadataFields): TimelineMetadataJson {
  encodeTimelineMetadata(fields);
  const { prevRecordLsn, ancestorTimeline } = fields;
  return {
    disk_consistent_lsn: formatPgLsn(fields.diskConsistentLsn),
    prev_record_lsn: prevRecordLsn === null ? null : formatPgLsn(prevRecordLsn),
    ancestor_timeline: ancestorTimeline === null ? null : ancestorTimeline.toLowerCase(),
    ancestor_lsn: formatPgLsn(fields.ancestorLsn),
    latest_gc_cutoff_lsn: formatPgLsn(fields.latestGcCutoffLsn),
    initdb_lsn: formatPgLsn(fields.initdbLsn),
    pg_version: fields.pgVersion,
  };
}

/**
 * Converts either form, as returned by JSON.parse, to timeline metadata.
 *
 * @throws StorageError `corrupt`; for the array form as `decodeTimelineMetadata`
 */
export function timelineMetadataFromJson(value: unknown): TimelineMetadataFields {
  if (Array.isArray(value)) return decodeTimelineMetadata(bytesOf(value));
  if (typeof value !== 'object' || value === null) {
    throw wrong('timeline metadata', 'an object or an array', value);
  }
  const json = new JsonFields(value);
  return json.checked({
    diskConsistentLsn: json.lsn('disk_consistent_lsn'),
    prevRecordLsn: json.optional('prev_record_lsn', (name) => json.lsn(name)),
    ancestorTimeline: json.optional('ancestor_timeline', (name) => json.identifier(name)),
    ancestorLsn: json.lsn('ancestor_lsn'),
    latestGcCutoffLsn: json.lsn('latest_gc_cutoff_lsn'),
    initdbLsn: json.lsn('initdb_lsn'),
    pgVersion: json.number('pg_version'),
  });
}

/** Own properties only, so that a prototype cannot answer for a missing field. */
class JsonFields {
  readonly #fields: ReadonlyMap<string, unknown>;

  constructor(value: object) {
    this.#fields = new Map(Object.entries(value));
  }

  lsn(name: string): Lsn {
    return this.#parsed(name, parseLsn);
  }

  identifier(name: string): string {
    return this.#parsed(name, (text) => formatIdentifier(parseIdentifier(text, name)));
  }

  number(name: string): number {
    const value = this.#fields.get(name);
    if (typeof value === 'number') return value;
    throw wrong(name, 'a number', value);
  }

  optional<T>(name: string, read: (name: string) => T): T | null {
    return (this.#fields.get(name) ?? null) === null ? null : read(name);
  }

  /** The fields, if the binary form could hold them. */
  checked(fields: TimelineMetadataFields): TimelineMetadataFields {
    return asCorrupt(() => {
      encodeTimelineMetadata(fields);
      return fields;
    });
  }

  #parsed<T>(name: string, parse: (text: string) => T): T {
    const value = this.#fields.get(name);
    if (typeof value !== 'string') throw wrong(name, 'a string', value);
    return asCorrupt(() => parse(value), name);
  }
}

/** What is wrong input in an argument is damage in a file. */
function asCorrupt<T>(action: () => T, what?: string): T {
  try {
    return action();
  } catch (error) {
    if (!isStorageError(error)) throw error;
    const { expected, actual } = error;
    throw new StorageError('corrupt', {
      what: what ?? 'timeline metadata',
      expected,
      actual,
      cause: error,
    });
  }
}

function bytesOf(values: readonly unknown[]): Uint8Array {
  if (values.length > TIMELINE_METADATA_SIZE) {
    const expected = `${TIMELINE_METADATA_SIZE} bytes`;
    throw wrong('timeline metadata', expected, values.length);
  }
  return Uint8Array.from(values, (value, offset) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xff) {
      return value;
    }
    throw wrong('timeline metadata', 'a byte', value, offset);
  });
}

function wrong(what: string, expected: string, found: unknown, offset?: number): StorageError {
  const actual = typeof found === 'string' ? JSON.stringify(found) : describe(found);
  return corrupt(what, offset, expected, actual);
}

function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
