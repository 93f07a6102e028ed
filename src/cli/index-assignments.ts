/** Parses `NAME=VALUE` for the fields of an index: those of the metadata, and a few others. */
import { isStorageError, StorageError } from '../errors.ts';
import { parseLsn } from '../layers/lsn.ts';
import type { IndexPartChanges } from '../timeline/index-part/index-part.ts';
import { normalizeJsonTime } from '../timeline/json-time.ts';
import { parseAssignments } from './metadata-assignments.ts';

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

const OWN = new Map<string, (text: string | undefined) => IndexPartChanges>([
  ['archived_at', (text) => ({ archivedAt: time(text) })],
  ['deleted_at', (text) => ({ deletedAt: time(text) })],
  ['marked_invisible_at', (text) => ({ markedInvisibleAt: time(text) })],
  ['gc_compaction', (text) => ({ gcCompactionLsn: lsn(text) })],
  ['rel_size_migrated_at', (text) => ({ relSizeMigratedAt: lsn(text) })],
  ['rel_size_migration', (text) => ({ relSizeMigration: migration(text) })],
  ['gc_blocking', (text) => ({ gcBlocking: onlyNull(text) })],
]);

/** Throws `usage`. `null` removes a field. */
export function parseIndexAssignments(assignments: readonly string[]): IndexPartChanges {
  const changes: Mutable<IndexPartChanges> = {};
  const ofMetadata: string[] = [];
  for (const assignment of assignments) {
    const equals = assignment.indexOf('=');
    const parse = OWN.get(assignment.slice(0, Math.max(equals, 0)));
    if (parse === undefined) {
      ofMetadata.push(assignment);
      continue;
    }
    const text = assignment.slice(equals + 1);
    try {
      Object.assign(changes, parse(text === 'null' ? undefined : text));
    } catch (error) {
      if (!isStorageError(error, 'invalid-input')) throw error;
      const { expected } = error;
      throw new StorageError('usage', {
        what: assignment.slice(0, equals),
        expected,
        actual: JSON.stringify(text),
      });
    }
  }
  const metadata = parseAssignments({ set: ofMetadata, more: [] });
  return Object.keys(metadata).length === 0 ? changes : { ...changes, metadata };
}

function time(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const normalized = normalizeJsonTime(text);
  if (normalized !== undefined) return normalized;
  throw new StorageError('invalid-input', {
    what: 'time',
    expected: 'a time as 2026-03-25T10:00:00.123',
  });
}

function lsn(text: string | undefined): bigint | undefined {
  return text === undefined ? undefined : parseLsn(text);
}

function migration(text: string | undefined): 'legacy' | 'migrating' | 'migrated' {
  if (text === undefined) return 'legacy';
  if (text === 'legacy' || text === 'migrating' || text === 'migrated') return text;
  throw new StorageError('invalid-input', {
    what: 'migration',
    expected: 'legacy, migrating or migrated',
  });
}

function onlyNull(text: string | undefined): undefined {
  if (text === undefined) return undefined;
  throw new StorageError('invalid-input', { what: 'gc_blocking', expected: 'null' });
}
