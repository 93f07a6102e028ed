/** Describes WAL records where the version of Postgres is known. */
import type { HeapDialect } from '../wal/heap-dialect.ts';
import type { RecordReading } from './value-record.ts';

/**
 * Undefined if the version is not known: then no record is described, and what describes them, some
 * megabytes of memory, is not loaded.
 */
export async function recordReading(
  majorVersion: number | undefined,
  options: { readonly dialect?: HeapDialect | undefined },
): Promise<RecordReading | undefined> {
  if (majorVersion === undefined) return undefined;
  const { recordJson, recordText } = await import('./value-record.ts');
  const version = { majorVersion, dialect: options.dialect };
  return {
    text: (bytes) => recordText(bytes, version),
    json: (bytes) => recordJson(bytes, version),
  };
}
