/** `metadata`: prints the timeline metadata of a 512-byte file, or changes it. */
import { isStorageError, StorageError } from '../../errors.ts';
import { formatLsn, formatPgLsn } from '../../layers/lsn.ts';
import type {
  TimelineMetadata,
  TimelineMetadataFields,
} from '../../write-once/timeline-metadata.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus } from '../exit-status.ts';
import { encodeJson } from '../json.ts';
import { formatOf, OBJECT_FORMAT } from '../shared-options.ts';
import { writeProperties } from '../table.ts';

const OPTIONS = {
  set: option<readonly string[]>(
    '--set <name=value>',
    'new values; the file is replaced crash-safely',
    (assignment, others = []) => [...others, assignment],
  ),
  ...OBJECT_FORMAT,
};
type MetadataOptions = OptionValues<typeof OPTIONS>;

export function addMetadata({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'metadata', OPTIONS)
    .description('Print the timeline metadata of a 512-byte metadata file, or change it.')
    .usage('[options] <file> [--set <name=value>...]')
    .argument('<file>', 'metadata file')
    .argument('[assignments...]')
    .action((file: string, more: string[], options: MetadataOptions) =>
      runner((context) => metadata(context, { file, more }, options)),
    );
  addExamples(command, [
    ['layerfile metadata FILE', 'all values'],
    ['layerfile metadata FILE --set initdb_lsn=0/1696000 pg_version=17', 'two new values'],
    [
      'layerfile metadata FILE --set ancestor_timeline=null',
      'one of the two fields that may be null',
    ],
  ]);
}

/** `more`: assignments after the file; only with `--set` are they allowed. */
async function metadata(
  context: Context,
  { file, more }: { file: string; more: readonly string[] },
  options: MetadataOptions,
): Promise<ExitStatus> {
  const { parseAssignments } = await import('../metadata-assignments.ts');
  const { refuseInputAsOutput, STANDARD_OUTPUT } = await import('../output-paths.ts');
  const { readTimelineMetadata, TIMELINE_METADATA_FORMAT_VERSION: version } = await import(
    '../../write-once/timeline-metadata.ts'
  );
  const changes = parseAssignments({ set: options.set ?? [], more });
  await refuseInputAsOutput(file, STANDARD_OUTPUT);
  const stored = await readTimelineMetadata(file);
  const isChanged = Object.keys(changes).length > 0;
  if (isChanged) await rewrite(context, file, { ...stored, ...changes });
  const shown = isChanged ? await readTimelineMetadata(file) : stored;
  if (formatOf(options) === 'people') await describe(context, shown, version);
  else await context.stdout.write(`${encodeJson(metadataJson(shown, version))}\n`);
  return CLEAN;
}

/** Keeps a symbolic link: the file that it leads to is replaced. */
async function rewrite(
  { signal }: Context,
  file: string,
  fields: TimelineMetadataFields,
): Promise<void> {
  const { preservedAttributes, realPathOf } = await import('../output-paths.ts');
  const { encodeTimelineMetadata, writeTimelineMetadata } = await import(
    '../../write-once/timeline-metadata.ts'
  );
  checkWritable(file, () => encodeTimelineMetadata(fields));
  await writeTimelineMetadata(await realPathOf(file), fields, {
    signal,
    preserve: await preservedAttributes(),
  });
}

/** The new values are valid, so a failure to encode is due to one that was stored before. */
function checkWritable(file: string, encode: () => void): void {
  try {
    encode();
  } catch (error) {
    if (!isStorageError(error)) throw error;
    const { expected, actual } = error;
    const what = 'a stored value does not fit into version 4: set it, too';
    throw new StorageError('out-of-range', { what, path: file, expected, actual, cause: error });
  }
}

function metadataJson(shown: TimelineMetadata, version: number) {
  const { prevRecordLsn } = shown;
  return {
    format_version: version,
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

async function describe(
  { stdout }: Context,
  shown: TimelineMetadata,
  version: number,
): Promise<void> {
  const { prevRecordLsn, storedFormatVersion } = shown;
  const upgrade = storedFormatVersion === version ? '' : `, read as version ${version}`;
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
