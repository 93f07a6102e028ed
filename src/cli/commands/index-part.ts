/** `index-part`: shows, checks, compares, changes and rebuilds the index of a timeline. */
import { StorageError } from '../../errors.ts';
import { formatPgLsn } from '../../layers/lsn.ts';
import { printable } from '../../printable.ts';
import { generationArgument, identifierArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { formatNumberOf, formatSize } from '../human.ts';
import type { FoundIndex, IndexSource } from '../index-source.ts';
import { encodeJson, type Json } from '../json.ts';
import { REMOTE_OPTIONS, type RemoteOptions } from '../remote-source.ts';
import { formatOf, listFormat, OBJECT_FORMAT } from '../shared-options.ts';
import { writeProperties } from '../table.ts';

const WHICH = {
  tenant: option('--tenant <id>', 'tenant, 32 hex digits', identifierArgument),
  timeline: option('--timeline <id>', 'timeline, 32 hex digits', identifierArgument),
  generation: option(
    '--generation <hex8>',
    'generation of the pageserver; indices of higher ones are ignored',
    generationArgument,
  ),
};
const SHOW_OPTIONS = { ...WHICH, ...OBJECT_FORMAT, ...REMOTE_OPTIONS };
const DIFF_OPTIONS = { ...listFormat('one difference'), ...REMOTE_OPTIONS };
const WRITE_OPTIONS = {
  tenant: WHICH.tenant,
  timeline: WHICH.timeline,
  out: option('--out <dir>', 'directory of the new index; - writes it to standard output', String),
  writeGeneration: option(
    '--write-generation <hex8>',
    'generation of the new index (default: the next one)',
    generationArgument,
  ),
  ...OBJECT_FORMAT,
  ...REMOTE_OPTIONS,
};
type WhichOptions = Partial<OptionValues<typeof WHICH>> & RemoteOptions;
type ShowOptions = OptionValues<typeof SHOW_OPTIONS>;
type DiffOptions = OptionValues<typeof DIFF_OPTIONS>;
type WriteOptions = OptionValues<typeof WRITE_OPTIONS>;

export function addIndexPart({ program, runner }: CommandParents): void {
  const parent = addCommand(program, 'index-part', SHOW_OPTIONS)
    .description('Show the index of a timeline (index_part.json), check, compare or change it.')
    .usage('[options] <source>')
    .argument('<source>', 'index, or directory or URL of a timeline')
    .action((source: string, options: ShowOptions) =>
      runner((context) => show(context, source, options)),
    );
  addCommand(parent, 'check', SHOW_OPTIONS)
    .description(
      'Check an index without its layers, by the rules of a pageserver and of the scrubber.',
    )
    .argument('<source>', 'index, or directory or URL of a timeline')
    .action((source: string, options: ShowOptions) =>
      runner((context) => check(context, source, options)),
    );
  addCommand(parent, 'diff', DIFF_OPTIONS)
    .description('Compare two indices: fields, and layers by name.')
    .argument('<a>', 'index, or directory or URL of a timeline')
    .argument('<b>', 'index, or directory or URL of a timeline')
    .action((a: string, b: string, options: DiffOptions) =>
      runner((context) => diff(context, [a, b], options)),
    );
  addCommand(parent, 'set', WRITE_OPTIONS)
    .description('Change fields, and write the index as the next generation; the old one stays.')
    .argument('<source>', 'index, or directory or URL of a timeline')
    .argument('<assignments...>', 'NAME=VALUE; null removes a field')
    .action((source: string, assignments: string[], options: WriteOptions) =>
      runner((context) => set(context, { source, assignments }, options)),
    );
  addCommand(parent, 'rebuild', WRITE_OPTIONS)
    .description('Rebuild a lost index from the layers of a timeline, or from a listing of them.')
    .argument('<source>', 'directory or s3:// URL of a timeline, or - for lines SIZE NAME')
    .argument('<assignments...>', 'NAME=VALUE of the metadata; pg_version is required')
    .action((source: string, assignments: string[], options: WriteOptions) =>
      runner((context) => rebuild(context, { source, assignments }, options)),
    );
  addExamples(parent, [
    ['layerfile index-part index_part.json-00000002 --json', 'all fields'],
    ['layerfile index-part s3://BUCKET/PREFIX --timeline ID', 'of a timeline in a bucket'],
    ['layerfile index-part check DIR', 'problems of the current index'],
    ['layerfile index-part diff OLD NEW', 'added and removed layers, and changed fields'],
    ['layerfile index-part set DIR archived_at=null', 'a new index of the next generation'],
    ['layerfile index-part rebuild DIR pg_version=17', 'a new index of the layers in DIR'],
    [
      'aws s3 ls s3://BUCKET/PREFIX/ | layerfile index-part rebuild - pg_version=17 --out DIR',
      'a new index from a listing',
    ],
  ]);
}

async function load(context: Context, source: string, options: WhichOptions): Promise<FoundIndex> {
  const { readIndex } = await import('../index-source.ts');
  return readIndex(context, sourceOf(source, options));
}

function sourceOf(source: string, { generation, ...options }: WhichOptions): IndexSource {
  const { tenant, timeline, s3PathStyle } = options;
  return { source, tenant, timeline, s3PathStyle, generation: numberOf(generation) };
}

function numberOf(generation: string | undefined): number | undefined {
  return generation === undefined ? undefined : Number.parseInt(generation, 16);
}

async function show(context: Context, source: string, options: ShowOptions): Promise<ExitStatus> {
  const found = await load(context, source, options);
  const { indexJson } = await import('../index-json.ts');
  if (formatOf(options) === 'people') await describe(context, found);
  else await context.stdout.write(`${encodeJson(indexJson(found.index))}\n`);
  return CLEAN;
}

async function describe({ stdout }: Context, { path, index }: FoundIndex): Promise<void> {
  const { fields } = index;
  const { metadata } = fields;
  const size = [...fields.layers.values()].reduce((sum, layer) => sum + layer.fileSize, 0n);
  await writeProperties(stdout, [
    ['index', printable(path)],
    ['version', String(fields.version)],
    ['layers', `${fields.layers.size}, ${formatSize(Number(size))}`],
    ['disk_consistent_lsn', formatPgLsn(metadata.diskConsistentLsn)],
    [
      'prev_record_lsn',
      metadata.prevRecordLsn === null ? 'none' : formatPgLsn(metadata.prevRecordLsn),
    ],
    ['ancestor_timeline', metadata.ancestorTimeline ?? 'none'],
    ['ancestor_lsn', formatPgLsn(metadata.ancestorLsn)],
    ['latest_gc_cutoff_lsn', formatPgLsn(metadata.latestGcCutoffLsn)],
    ['initdb_lsn', formatPgLsn(metadata.initdbLsn)],
    ['pg_version', String(metadata.pgVersion)],
    ...present('archived_at', fields.archivedAt),
    ...present('deleted_at', fields.deletedAt),
    ...present('gc_blocking', fields.gcBlocking?.reasons.join(', ')),
  ]);
}

function present(name: string, value: string | undefined): [name: string, value: string][] {
  return value === undefined ? [] : [[name, value]];
}

async function check(context: Context, source: string, options: ShowOptions): Promise<ExitStatus> {
  const { path, index, generation } = await load(context, source, options);
  const { checkIndexPart } = await import('../../timeline/index-part/check.ts');
  const findings = checkIndexPart(index, { generation });
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const warnings = findings.length - errors;
  if (formatOf(options) === 'people') {
    for (const { severity, message, layer } of findings) {
      const where = layer === undefined ? '' : `${layer}: `;
      await context.stdout.write(`${severity}: ${where}${printable(message)}\n`);
    }
    const counts = `${formatNumberOf(errors, 'error', 'errors')}, ${formatNumberOf(warnings, 'warning', 'warnings')}`;
    await context.stdout.write(`${printable(path)}: ${counts}\n`);
  } else {
    const json: Json = {
      path,
      ok: errors === 0,
      findings: findings.map(findingJson),
      errors,
      warnings,
    };
    await context.stdout.write(`${encodeJson(json)}\n`);
  }
  return errors === 0 ? CLEAN : FINDINGS;
}

function findingJson(finding: {
  readonly severity: string;
  readonly rule: string;
  readonly message: string;
  readonly layer?: string;
}): Json {
  const { severity, rule, message, layer } = finding;
  return { severity, rule, message, layer };
}

async function diff(
  context: Context,
  sources: readonly [string, string],
  options: DiffOptions,
): Promise<ExitStatus> {
  const { s3PathStyle } = options;
  const { index: a } = await load(context, sources[0], { s3PathStyle });
  const { index: b } = await load(context, sources[1], { s3PathStyle });
  const { diffIndexParts } = await import('../../timeline/index-part/diff.ts');
  const { shownValue } = await import('../index-json.ts');
  const { ListWriter } = await import('../list-writer.ts');
  const differences = diffIndexParts(a, b);
  const format = formatOf(options);
  const lines = differences.map(
    ({ kind, a: left, b: right, ...rest }): Json => ({
      [kind]: 'field' in rest ? rest.field : rest.name,
      a: left === undefined ? undefined : shownValue(left),
      b: right === undefined ? undefined : shownValue(right),
    }),
  );
  const layers = differences.filter(({ kind }) => kind === 'layer').length;
  const summary = { fields: differences.length - layers, layers };
  if (format === 'people') {
    for (const line of lines) await context.stdout.write(`${encodeJson(line)}\n`);
    const counts = `${formatNumberOf(summary.fields, 'field', 'fields')} and ${formatNumberOf(layers, 'layer', 'layers')}`;
    context.reporter.note(`${counts} differ`);
  } else {
    const list = new ListWriter(context.stdout, format);
    for (const line of [...lines, { summary }]) await list.write([encodeJson(line)]);
    await list.end();
  }
  return differences.length === 0 ? CLEAN : FINDINGS;
}

interface Assigned {
  readonly source: string;
  readonly assignments: readonly string[];
}

async function set(
  context: Context,
  { source, assignments }: Assigned,
  options: WriteOptions,
): Promise<ExitStatus> {
  const { parseIndexAssignments } = await import('../index-assignments.ts');
  const changes = parseIndexAssignments(assignments);
  const { path, index, directory, highest } = await load(context, source, options);
  const { writeNewIndex } = await import('../index-output.ts');
  const written = await writeNewIndex(context, index.with(changes), {
    directory: options.out ?? directory,
    generation: numberOf(options.writeGeneration),
    after: highest,
  });
  await report(context, options, { path: written, from: path });
  return CLEAN;
}

async function rebuild(
  context: Context,
  { source, assignments }: Assigned,
  options: WriteOptions,
): Promise<ExitStatus> {
  const { parseAssignments } = await import('../metadata-assignments.ts');
  const { pgVersion, ...given } = parseAssignments({ set: assignments, more: [] });
  if (pgVersion === undefined) {
    throw new StorageError('usage', {
      what: 'pg_version=N is required: the names of layers do not contain it',
    });
  }
  const { listTimeline } = await import('../index-source.ts');
  const { metadataName, writeNewIndex } = await import('../index-output.ts');
  const { rebuildIndexPart } = await import('../../timeline/index-part/rebuild.ts');
  const { layers, directory } = await listTimeline(context, sourceOf(source, options));
  const rebuilt = rebuildIndexPart(layers, { ...given, pgVersion });
  const { index, superseded } = rebuilt;
  const derived = rebuilt.derived.map(metadataName);
  const generations = [...index.fields.layers.values()].map(({ generation }) => generation ?? 0);
  const highest = generations.reduce((left, right) => Math.max(left, right));
  const written = await writeNewIndex(context, index, {
    directory: options.out ?? directory,
    generation: numberOf(options.writeGeneration),
    after: highest,
  });
  context.reporter.warning(`derived from the names of layers, please check: ${derived.join(', ')}`);
  await report(context, options, {
    path: written,
    layers: index.fields.layers.size,
    derived,
    superseded: superseded.map(({ name }) => name),
  });
  return CLEAN;
}

async function report(
  context: Context,
  options: WriteOptions,
  {
    path,
    ...rest
  }: { readonly path: string | undefined; readonly [name: string]: Json | undefined },
): Promise<void> {
  // The index itself is on standard output.
  if (path === undefined) return;
  if (formatOf(options) === 'people') await context.stdout.write(`${printable(path)}\n`);
  else await context.stdout.write(`${encodeJson({ path, ...rest })}\n`);
}
