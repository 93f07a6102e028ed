/** `metadata`: the timeline metadata of a 512-byte file, and new values for it. */
import { isStorageError, StorageError } from '../../errors.ts';
import { formatLsn, formatPgLsn } from '../../layers/lsn.ts';
import {
  encodeTimelineMetadata,
  readTimelineMetadata,
  TIMELINE_METADATA_FORMAT_VERSION,
  type TimelineMetadata,
  type TimelineMetadataFields,
  writeTimelineMetadata,
} from '../../write-once/timeline-metadata.ts';
import type { Context, Format } from '../context.ts';
import { CLEAN, type ExitStatus } from '../exit-status.ts';
import { encodeJson } from '../json.ts';
import { type Assignments, parseAssignments } from '../metadata-assignments.ts';
import { refuseInputAsOutput, STANDARD_OUTPUT } from '../output-paths.ts';
import { preserved, realPathOf } from '../rewritten-file.ts';
import { writeProperties } from '../table.ts';

export interface MetadataOptions {
  readonly file: string;
  readonly assignments: Assignments;
  readonly format: Format;
}

export async function metadata(context: Context, options: MetadataOptions): Promise<ExitStatus> {
  const { file, format } = options;
  const changes = parseAssignments(options.assignments);
  await refuseInputAsOutput(file, STANDARD_OUTPUT);
  const stored = await readTimelineMetadata(file);
  const isChanged = Object.keys(changes).length > 0;
  if (isChanged) await rewrite(context, file, { ...stored, ...changes });
  const shown = isChanged ? await readTimelineMetadata(file) : stored;
  if (format === 'people') await describe(context, shown);
  else await context.stdout.write(`${encodeJson(metadataJson(shown))}\n`);
  return CLEAN;
}

/** A symbolic link stays: the file that it leads to is replaced. */
async function rewrite(
  { signal }: Context,
  file: string,
  fields: TimelineMetadataFields,
): Promise<void> {
  checkWritable(file, fields);
  await writeTimelineMetadata(await realPathOf(file), fields, {
    signal,
    preserve: await preserved(),
  });
}

/** What was set is valid, so it is the old file that version 4 cannot hold. */
function checkWritable(file: string, fields: TimelineMetadataFields): void {
  try {
    encodeTimelineMetadata(fields);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    const { expected, actual } = error;
    const what = 'a stored value that version 4 cannot hold; set it, too';
    throw new StorageError('out-of-range', { what, path: file, expected, actual, cause: error });
  }
}

function metadataJson(shown: TimelineMetadata) {
  const { prevRecordLsn } = shown;
  return {
    format_version: TIMELINE_METADATA_FORMAT_VERSION,
    stored_format_version: shown.storedFormatVersion,
    checksum: shown.checksum,
    disk_consistent_lsn: formatLsn(shown.diskConsistentLsn),
    prev_record_lsn: prevRecordLsn === null ? null : formatLsn(prevRecordLsn),
    ancestor_timeline: shown.ancestorTimeline,
    ancestor_lsn: formatLsn(shown.ancestorLsn),
    latest_gc_cutoff_lsn: formatLsn(shown.latestGcCutoffLsn),
    initdb_lsn: formatLsn(shown.initdbLsn),
    pg_version: shown.pgVersion,
  };
}

async function describe({ stdout }: Context, shown: TimelineMetadata): Promise<void> {
  const { prevRecordLsn, storedFormatVersion } = shown;
  const isOld = storedFormatVersion !== TIMELINE_METADATA_FORMAT_VERSION;
  const upgrade = isOld ? `, read as version ${TIMELINE_METADATA_FORMAT_VERSION}` : '';
  await writeProperties(stdout, [
    ['format version', `${storedFormatVersion}${upgrade}`],
    ['checksum', `0x${shown.checksum.toString(16).padStart(8, '0')}, correct`],
    ['disk_consistent_lsn', formatPgLsn(shown.diskConsistentLsn)],
    ['prev_record_lsn', prevRecordLsn === null ? 'none' : formatPgLsn(prevRecordLsn)],
    ['ancestor_timeline', shown.ancestorTimeline ?? 'none'],
    ['ancestor_lsn', formatPgLsn(shown.ancestorLsn)],
    ['latest_gc_cutoff_lsn', formatPgLsn(shown.latestGcCutoffLsn)],
    ['initdb_lsn', formatPgLsn(shown.initdbLsn)],
    ['pg_version', String(shown.pgVersion)],
  ]);
}
