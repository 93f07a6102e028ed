/** `salvage`: recovers what is left of a damaged layer into a new one, and reports what is lost. */
import { isStorageError, type StorageError } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { formatLsn } from '../../layers/lsn.ts';
import type { LostRange } from '../../reshape/salvage/loss-log.ts';
import type { SalvagedFile } from '../../reshape/salvage/salvage-layer.ts';
import type { UnkeyedBlob } from '../../reshape/salvage/unkeyed-blobs.ts';
import {
  directoryArgument,
  generationArgument,
  identifierArgument,
  lsnArgument,
  majorVersionArgument,
} from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
  option,
  requiredOption,
} from '../command.ts';
import type { Context } from '../context.ts';
import {
  CLEAN,
  type ExitStatus,
  FINDINGS,
  statusOfError,
  strongest,
  UNKNOWN_VERSION,
} from '../exit-status.ts';
import { formatNumberOf } from '../human.ts';
import { encodeJson, type Json, layerObject } from '../json.ts';
import { layerInput, REMOTE_OPTIONS } from '../remote-source.ts';
import { storageErrorJson } from '../reporter.ts';
import { JSON_ERRORS, limitOptions, READ_LIMITS } from '../shared-options.ts';
import { shownPath } from '../shown-path.ts';

const OPTIONS = {
  out: requiredOption('--out <dir>', 'directory for the new layers', directoryArgument),
  tenant: option(
    '--tenant <id>',
    'tenant of the new layers (default: from the summary or path)',
    identifierArgument,
  ),
  timeline: option(
    '--timeline <id>',
    'timeline of the new layers (default: from the summary or path)',
    identifierArgument,
  ),
  lsn: option('--lsn <lsn>', 'LSN of an image layer whose name and summary are lost', lsnArgument),
  generation: option(
    '--generation <hex8>',
    'generation in the names of the new layers',
    generationArgument,
  ),
  pgVersion: option(
    '--pg-version <n>',
    'major version of Postgres of the WAL records (default: all of them)',
    majorVersionArgument,
  ),
  listUnkeyed: flag(
    '--list-unkeyed',
    'print a line for each value without a key, before the report',
  ),
  ...REMOTE_OPTIONS,
  ...READ_LIMITS,
  ...JSON_ERRORS,
};
type SalvageOptions = OptionValues<typeof OPTIONS>;

export function addSalvage({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'salvage', OPTIONS)
    .description('Recover what is left of a damaged or unfinished layer into a new, valid one.')
    .argument('<file...>', 'damaged, truncated or unfinished layers (___temp), or URLs')
    .action((files: string[], options: SalvageOptions) =>
      runner((context) => salvage(context, files, options)),
    );
  addExamples(command, [
    ['layerfile salvage FILE --out DIR', 'a new layer, and a report of what is lost'],
    [
      'layerfile salvage FILE.___temp --out DIR --list-unkeyed',
      'without an index, as a crash leaves it',
    ],
  ]);
  command.addHelpText(
    'after',
    `
The damaged files are only read. For each file, one line of JSON names the new layer and lists the
ranges of keys, LSNs and bytes that are lost. The exit status is 1 if anything is lost. It is 4 if the
format version is unknown; a flipped bit can cause this, so the file is read as version 3.

Leaves of the index are found even if the root is damaged. If no leaf is readable, only WAL records
are recovered: those whose LSN follows from the records around them. Page images are then lost,
because only the index has their keys. Layers have no checksums, so a value that was changed but can
still be read is kept.`,
  );
}

export async function salvage(
  context: Context,
  files: readonly string[],
  options: SalvageOptions,
): Promise<ExitStatus> {
  const { checkOutputDirectory } = await import('../output-paths.ts');
  await checkOutputDirectory(options.out);
  let status: ExitStatus = CLEAN;
  const progress = context.reporter.progress({ label: 'salvage' });
  let done = 0;
  try {
    for (const file of files) {
      progress.update({ done, total: files.length, detail: shownPath(file) });
      status = strongest(status, await salvageOrReport(context, file, options));
      done += 1;
    }
  } finally {
    progress.finish();
  }
  return status;
}

/** A file that cannot be salvaged does not stop the others. */
async function salvageOrReport(
  context: Context,
  file: string,
  options: SalvageOptions,
): Promise<ExitStatus> {
  try {
    return await salvageFile(context, file, options);
  } catch (error) {
    if (!isStorageError(error) || isStorageError(error, 'aborted', 'usage')) throw error;
    context.reporter.error(error);
    return statusOfError(error);
  }
}

async function salvageFile(
  context: Context,
  file: string,
  options: SalvageOptions,
): Promise<ExitStatus> {
  const { salvageLayer } = await import('../../reshape/salvage/salvage-layer.ts');
  const { out, tenant, timeline, lsn, generation, pgVersion } = options;
  const { signal } = context;
  const input = await layerInput(file, { ...options, signal });
  let made: SalvagedFile;
  try {
    made = await salvageLayer(input, {
      ...{ directory: out, tenantId: tenant, timelineId: timeline, generation },
      ...{ lsn, pgVersion, signal },
      readOptions: { ...limitOptions(options), signal },
      onUnkeyed: options.listUnkeyed
        ? (blob) => writeLine(context, unkeyedJson(file, blob))
        : undefined,
    });
  } catch (error) {
    // The existing layer may be the source.
    const existing = isStorageError(error, 'exists') ? error.path : undefined;
    if (existing !== undefined) await refuseSameFile(file, existing);
    throw error;
  }
  warnOfIds(context, file, made);
  await writeLine(context, reportJson(file, made));
  note(context, file, made);
  if (warnOfVersion(context, file, made)) return UNKNOWN_VERSION;
  return made.lostCount > 0 ? FINDINGS : CLEAN;
}

/**
 * An unknown version may be a flipped bit, or another format in which the same bytes mean something else. Returns
 * whether the version is unknown.
 */
function warnOfVersion({ reporter }: Context, file: string, made: SalvagedFile): boolean {
  const errors = [...made.lost.map(({ error }) => error), ...made.repaired];
  const unknown = errors.find(({ code }) => code === 'unsupported-version');
  if (unknown === undefined) return false;
  const { actual, expected } = unknown;
  reporter.warning(`unknown format version ${actual}: read as version ${expected}`, file);
  return true;
}

async function refuseSameFile(file: string, existing: string): Promise<void> {
  const { refuseInputAsOutput } = await import('../output-paths.ts');
  await refuseInputAsOutput(file, existing);
}

async function writeLine(context: Context, line: Json): Promise<void> {
  await context.stdout.write(`${encodeJson(line)}\n`);
}

function warnOfIds({ reporter }: Context, file: string, { layer, idSource }: SalvagedFile): void {
  if (layer === undefined || idSource === 'known') return;
  const what =
    idSource === 'unknown'
      ? 'tenant and timeline are lost and zero in the new layer'
      : 'tenant and timeline are from a damaged summary';
  reporter.warning(`${what}: give --tenant and --timeline`, file);
}

/** For people, who would otherwise see only the JSON. */
function note({ reporter }: Context, file: string, made: SalvagedFile): void {
  const { recovered, lostCount, unkeyed } = made;
  const ranges = formatNumberOf(lostCount, 'range lost', 'ranges lost');
  const entries = formatNumberOf(recovered, 'entry recovered', 'entries recovered');
  const values =
    unkeyed === 0 ? '' : `, ${formatNumberOf(unkeyed, 'value', 'values')} without a key`;
  reporter.note(`${shownPath(file)}: ${entries}, ${ranges}${values}`);
}

function reportJson(file: string, made: SalvagedFile): Json {
  const { layer, lost, lostCount, recovered, repaired, unkeyed } = made;
  return {
    path: shownPath(file),
    layers: layer === undefined ? [] : [layerObject(layer)],
    lost: lost.map(lostJson),
    recovered,
    lost_ranges: lostCount,
    repaired: repaired.map((error: StorageError) => ({ error: storageErrorJson(error) })),
    unkeyed,
  };
}

function lostJson(range: LostRange): Json {
  const { keyStart, keyEnd, lsnStart, lsnEnd, offset, length, count, error } = range;
  return {
    key_start: keyStart && formatKey(keyStart),
    key_end: keyEnd && formatKey(keyEnd),
    lsn_start: lsnStart === undefined ? undefined : formatLsn(lsnStart),
    lsn_end: lsnEnd === undefined ? undefined : formatLsn(lsnEnd),
    ...{ offset, length, count },
    error: storageErrorJson(error),
  };
}

function unkeyedJson(file: string, blob: UnkeyedBlob): Json {
  const { offset, storedLength, length, type, reason } = blob;
  return {
    path: shownPath(file),
    offset,
    stored_len: storedLength,
    len: length,
    type,
    unkeyed: reason,
  };
}
