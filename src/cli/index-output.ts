/** Writes a new index next to the old ones. */
import { StorageError } from '../errors.ts';
import { type Generation, nextGeneration } from '../timeline/generation.ts';
import { writeIndexPart } from '../timeline/index-part/index-file.ts';
import type { IndexPart } from '../timeline/index-part/index-part.ts';
import type { TimelineMetadataFields } from '../write-once/timeline-metadata.ts';
import type { Context } from './context.ts';

/** Where a new index goes. */
export interface NewIndexPlace {
  /** `-` is standard output. Undefined for a source in which no index is written: `usage`. */
  readonly directory: string | undefined;
  /** Undefined: the one after `after`. */
  readonly generation: Generation;
  /** The highest existing generation. */
  readonly after: Generation;
}

/** Writes an index; an old one is never touched. Returns its path, undefined for standard output. */
export async function writeNewIndex(
  { stdout, signal }: Context,
  index: IndexPart,
  { directory, generation, after }: NewIndexPlace,
): Promise<string | undefined> {
  if (directory === '-') {
    await stdout.write(index.format());
    return undefined;
  }
  if (directory === undefined) {
    throw new StorageError('usage', {
      what: '--out DIR is required (- is standard output): an index is only written to a directory',
    });
  }
  const next = generation ?? nextGeneration(after);
  if (next === undefined) {
    throw new StorageError('out-of-range', {
      what: 'there is no generation after the highest',
      path: directory,
    });
  }
  return writeIndexPart(index, { directory, generation: next, signal });
}

const METADATA_NAMES: Readonly<Record<keyof TimelineMetadataFields, string>> = {
  diskConsistentLsn: 'disk_consistent_lsn',
  prevRecordLsn: 'prev_record_lsn',
  ancestorTimeline: 'ancestor_timeline',
  ancestorLsn: 'ancestor_lsn',
  latestGcCutoffLsn: 'latest_gc_cutoff_lsn',
  initdbLsn: 'initdb_lsn',
  pgVersion: 'pg_version',
};

/** The name of a field of the metadata in JSON. */
export function metadataName(name: keyof TimelineMetadataFields): string {
  return METADATA_NAMES[name];
}
