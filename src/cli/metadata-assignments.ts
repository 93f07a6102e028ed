/** Parses `NAME=VALUE` for the fields of timeline metadata; an error is wrong usage. */
import { isStorageError, StorageError } from '../errors.ts';
import { formatIdentifier, parseIdentifier } from '../layers/identifier.ts';
import { type Lsn, parseLsn } from '../layers/lsn.ts';
import { unknownName } from '../nearest-name.ts';
import {
  MAXIMUM_PG_VERSION,
  MINIMUM_PG_VERSION,
  type TimelineMetadataFields,
} from '../write-once/timeline-metadata.ts';

export interface Assignments {
  /** The one after each `--set`. */
  readonly set: readonly string[];
  /** Further arguments, which are assignments only with `--set`. */
  readonly more: readonly string[];
}

type Changes = Partial<TimelineMetadataFields>;

const PARSE = new Map<string, (text: string) => Changes>([
  ['disk_consistent_lsn', (text) => ({ diskConsistentLsn: alignedLsn(text) })],
  ['prev_record_lsn', (text) => ({ prevRecordLsn: orNull(text, parseLsn) })],
  ['ancestor_timeline', (text) => ({ ancestorTimeline: orNull(text, timeline) })],
  ['ancestor_lsn', (text) => ({ ancestorLsn: parseLsn(text) })],
  ['latest_gc_cutoff_lsn', (text) => ({ latestGcCutoffLsn: parseLsn(text) })],
  ['initdb_lsn', (text) => ({ initdbLsn: parseLsn(text) })],
  ['pg_version', (text) => ({ pgVersion: pgVersion(text) })],
]);

/** Throws `usage`. */
export function parseAssignments({ set, more }: Assignments): Changes {
  const [stray] = more;
  if (stray !== undefined && set.length === 0) {
    throw wrong('argument after the file', 'NAME=VALUE after --set', JSON.stringify(stray));
  }
  let changes: Changes = {};
  const seen = new Set<string>();
  for (const assignment of [...set, ...more]) {
    const equals = assignment.indexOf('=');
    if (equals < 0) throw wrong('assignment', 'NAME=VALUE', JSON.stringify(assignment));
    const name = assignment.slice(0, equals);
    if (seen.has(name)) throw wrong(`${name} is set twice`);
    seen.add(name);
    changes = { ...changes, ...parseAssignment(name, assignment.slice(equals + 1)) };
  }
  return changes;
}

function parseAssignment(name: string, text: string): Changes {
  const parse = PARSE.get(name);
  if (parse === undefined) {
    throw new StorageError('usage', unknownName('name', name, [...PARSE.keys()]));
  }
  try {
    return parse(text);
  } catch (error) {
    if (!isStorageError(error, 'invalid-input')) throw error;
    throw wrong(name, error.expected ?? 'another value', JSON.stringify(text));
  }
}

function orNull<T>(text: string, parse: (text: string) => T): T | null {
  return text === 'null' ? null : parse(text);
}

function alignedLsn(text: string): Lsn {
  const lsn = parseLsn(text);
  if (lsn % 8n === 0n) return lsn;
  throw new StorageError('invalid-input', { what: 'LSN', expected: 'a multiple of 8' });
}

function timeline(text: string): string {
  return formatIdentifier(parseIdentifier(text, 'timeline id'));
}

function pgVersion(text: string): number {
  const version = Number(text);
  const isKnown = version >= MINIMUM_PG_VERSION && version <= MAXIMUM_PG_VERSION;
  if (/^\d+$/.test(text) && isKnown) return version;
  const expected = `${MINIMUM_PG_VERSION} to ${MAXIMUM_PG_VERSION}`;
  throw new StorageError('invalid-input', { what: 'version', expected });
}

function wrong(what: string, expected?: string, actual?: string): StorageError {
  return new StorageError('usage', { what, expected, actual });
}
