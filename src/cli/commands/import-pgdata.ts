/** `import pgdata`: an image layer of a Postgres data directory. */
import { join } from 'node:path';
import { isStorageError, type StorageError } from '../../errors.ts';
import type { Lsn } from '../../layers/lsn.ts';
import type { ImportedLayer } from '../../postgres/import.ts';
import type { LeftOutFile } from '../../postgres/left-out.ts';
import { identifierArgument, layerLsnOrAutoArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
  optionWithDefault,
  requiredOption,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { formatNumberOf } from '../human.ts';
import { layerLine } from '../json.ts';
import type { Reporter } from '../reporter.ts';
import { compressionOf, JSON_ERRORS, LAYER_OPTIONS } from '../shared-options.ts';

const OPTIONS = {
  ...LAYER_OPTIONS,
  tenant: requiredOption('--tenant <id>', 'tenant, 32 hex digits', identifierArgument),
  timeline: requiredOption('--timeline <id>', 'timeline, 32 hex digits', identifierArgument),
  ...JSON_ERRORS,
  lsn: optionWithDefault<Lsn | 'auto'>(
    '--lsn <lsn>',
    'LSN of the layer; auto means that of the latest checkpoint',
    { parse: layerLsnOrAutoArgument, value: 'auto' },
  ),
  allowUnclean: flag(
    '--allow-unclean',
    'warnings instead of errors for a server that is running, was not shut down cleanly or has to ' +
      'replay WAL first, and for pages newer than the layer',
  ),
  allowDamaged: flag(
    '--allow-damaged',
    'warnings instead of errors for missing or damaged relation maps, tablespaces and segments',
  ),
  allowBadPages: flag(
    '--allow-bad-pages',
    'warnings instead of errors for pages with a wrong checksum',
  ),
};
type ImportOptions = OptionValues<typeof OPTIONS>;

export function addImport({ program, runner }: CommandParents): void {
  const parent = addCommand(program, 'import').description(
    'Make a layer from other data: import pgdata.',
  );
  const command = addCommand(parent, 'pgdata', OPTIONS)
    .description('Make an image layer from a Postgres data directory that was shut down cleanly.')
    .argument('<dir>', 'data directory')
    .action((directory: string, options: ImportOptions) =>
      runner((context) => importDirectory(context, directory, options)),
    );
  addExamples(command, [
    [
      'layerfile import pgdata /var/lib/postgresql/17/main --out DIR --tenant ID --timeline ID',
      'at the LSN of the latest checkpoint',
    ],
  ]);
  command.addHelpText(
    'after',
    `
Imports the relations of all databases (every fork) and the relation maps, but not relation
directories, transaction status, two-phase files, WAL and configuration. Files that are left out are
counted by reason. Refuses what a server would refuse: a base backup or standby that has to replay
WAL, a missing or damaged relation map or version file of a database, and, in a cluster with
checksums, pages with a wrong one. The --allow options turn these errors into warnings.`,
  );
}

async function importDirectory(
  context: Context,
  directory: string,
  options: ImportOptions,
): Promise<ExitStatus> {
  const { checkOutputDirectory, entriesOf, refuseOutputWithin } = await import(
    '../output-paths.ts'
  );
  const { importPgdata } = await import('../../postgres/import.ts');
  const { reporter } = context;
  // Links of the directory may lead elsewhere.
  const tablespaces = await entriesOf(join(directory, 'pg_tblspc'));
  await refuseOutputWithin([directory, join(directory, 'pg_wal'), ...tablespaces], options.out);
  await checkOutputDirectory(options.out);
  const progress = reporter.progress({ label: 'import' });
  const badPages = new Listing(reporter, 'bad page', 'bad pages');
  try {
    const layer = await importPgdata({
      dataDirectory: directory,
      outDirectory: options.out,
      tenantId: options.tenant,
      timelineId: options.timeline,
      lsn: options.lsn,
      allowUnclean: options.allowUnclean,
      allowDamaged: options.allowDamaged,
      allowBadPages: options.allowBadPages,
      compression: compressionOf(options),
      generation: options.generation,
      signal: context.signal,
      onProgress: (done, total) => progress.update({ done, total }),
      onBadPage: (finding) => badPages.add(finding),
    });
    progress.finish();
    badPages.end();
    reportOutcome(reporter, layer);
    const counts = { left_out: countsOf(layer.leftOut, jsonNameOf), bad_pages: layer.badPageCount };
    await context.stdout.write(layerLine(layer, counts));
    return CLEAN;
  } catch (error) {
    badPages.end();
    // The directory is at fault, such as one that was not shut down, and not the command line.
    if (!isStorageError(error, 'invalid-input')) throw error;
    reporter.error(error);
    return FINDINGS;
  } finally {
    progress.finish();
  }
}

function reportOutcome(reporter: Reporter, layer: ImportedLayer): void {
  const warnings = new Listing(reporter, 'warning', 'warnings');
  for (const warning of layer.warnings) warnings.add(warning);
  warnings.end();
  const unknown = new Listing(reporter, 'file', 'files');
  for (const { path, reason } of layer.leftOut) {
    if (reason === 'unknown name') unknown.addText('left out: not the name of a relation', path);
  }
  unknown.end();
  const { pageCount, forkCount } = layer;
  const pages = formatNumberOf(pageCount, 'page', 'pages');
  reporter.note(`${pages} of ${formatNumberOf(forkCount, 'fork', 'forks')}`);
  const counts = Object.entries(countsOf(layer.leftOut, (reason) => reason));
  if (counts.length === 0) return;
  const words = counts.map(([reason, count]) => `${reason} (${count})`).join(', ');
  reporter.note(`left out, by reason: ${words}`);
}

function jsonNameOf(reason: string): string {
  return reason.toLowerCase().replaceAll(/\W/g, '_');
}

function countsOf(
  leftOut: readonly LeftOutFile[],
  nameOf: (reason: string) => string,
): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { reason } of leftOut) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const ordered = [...counts].sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(ordered.map(([reason, count]) => [nameOf(reason), count]));
}

const MAXIMUM_LISTED = 100;

/** Prints the first hundred warnings and counts the others: there may be millions. */
class Listing {
  readonly #reporter: Reporter;
  readonly #one: string;
  readonly #many: string;
  #count = 0;

  constructor(reporter: Reporter, one: string, many: string) {
    this.#reporter = reporter;
    this.#one = one;
    this.#many = many;
  }

  add(error: StorageError): void {
    this.addText(error.with({ path: undefined }).message, error.path);
  }

  addText(message: string, path: string | undefined): void {
    this.#count += 1;
    if (this.#count <= MAXIMUM_LISTED) this.#reporter.warning(message, path);
  }

  end(): void {
    const hidden = this.#count - MAXIMUM_LISTED;
    if (hidden <= 0) return;
    this.#reporter.warning(formatNumberOf(hidden, `more ${this.#one}`, `more ${this.#many}`));
  }
}
