/** `ls`: lists the layers of a timeline. */
import { StorageError } from '../../errors.ts';
import { parseKey } from '../../layers/key.ts';
import { formatPgLsn, parseLsn } from '../../layers/lsn.ts';
import { shortKey } from '../../postgres/short-key.ts';
import { addCommand, addExamples, type CommandParents, type OptionValues } from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, statusOfError, strongest } from '../exit-status.ts';
import { formatBytes, formatNumberOf } from '../human.ts';
import type { ListedLayer } from '../listed-layers.ts';
import { SOURCE_OPTIONS } from '../open-source.ts';
import { REMOTE_OPTIONS } from '../remote-source.ts';
import { formatOf, listFormat, WIDE } from '../shared-options.ts';

const { tenant, timeline, generation } = SOURCE_OPTIONS;
const OPTIONS = {
  ...listFormat('one layer'),
  wide: WIDE,
  tenant,
  timeline,
  generation,
  ...REMOTE_OPTIONS,
};
type LsOptions = OptionValues<typeof OPTIONS>;

export function addLs({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'ls', OPTIONS)
    .description('List the layers of a timeline.')
    .argument('<source>', 'directory, index_part.json, layer file, URL, or - for names')
    .action((source: string, options: LsOptions) =>
      runner((context) => ls(context, source, options)),
    );
  addExamples(command, [
    ['layerfile ls DIR', 'a pageserver directory, or a copy of a bucket'],
    ['layerfile ls s3://BUCKET/PREFIX --timeline ID --ndjson', 'a bucket, for programs'],
    ['ls | layerfile ls -', 'names from standard input'],
  ]);
}

async function ls(context: Context, source: string, options: LsOptions): Promise<ExitStatus> {
  const { layersOfNames, listedLayers, layerJson } = await import('../listed-layers.ts');
  const { ListWriter } = await import('../list-writer.ts');
  const { layers, indexErrors } =
    source === '-'
      ? await layersOfNames(context, await namesFrom(context))
      : await listedLayers(context, source, options);
  let status: ExitStatus = CLEAN;
  for (const error of indexErrors) {
    context.reporter.error(error);
    status = strongest(status, statusOfError(error));
  }
  const format = formatOf(options);
  if (format === 'people') {
    await writeTable(context, layers, options.wide === true);
    return status;
  }
  const list = new ListWriter(context.stdout, format);
  for (const layer of layers) {
    const written = list.write([layerJson(layer)]);
    if (written !== undefined) await written;
  }
  await list.end();
  return status;
}

/** Empty lines are left out. Throws `too-large` for more names than a layer map takes. */
async function namesFrom(context: Context): Promise<string[]> {
  const { textLines } = await import('../text-lines.ts');
  const { MAXIMUM_LAYERS } = await import('../../timeline/layer-map/layer-table.ts');
  if (context.stdinIsTerminal) {
    throw new StorageError('usage', { what: 'standard input is a terminal: pipe names into it' });
  }
  const names: string[] = [];
  for await (const line of textLines('-', context)) {
    const name = line.trim();
    if (name === '') continue;
    if (names.length === MAXIMUM_LAYERS) {
      const expected = `at most ${MAXIMUM_LAYERS}`;
      throw new StorageError('too-large', { what: 'names on standard input', expected });
    }
    names.push(name.slice(name.lastIndexOf('/') + 1));
  }
  return names;
}

async function writeTable(
  { stdout, reporter }: Context,
  layers: readonly ListedLayer[],
  isWide: boolean,
): Promise<void> {
  const { Table } = await import('../table.ts');
  const { digitsOf } = await import('../listed-layers.ts');
  const table = new Table(stdout, [
    { title: 'LEVEL', style: 'cyan' },
    { title: 'LSN' },
    { title: 'SIZE', align: 'right' },
    { title: 'STATE' },
    { title: isWide ? 'NAME' : 'FIRST KEY', overflow: isWide ? 'wrap' : 'cut' },
  ]);
  let bytes = 0n;
  for (const layer of layers) {
    const { name, level, size } = layer;
    const { keyStart, lsnStart, lsnEnd } = digitsOf(name);
    bytes += BigInt(size ?? 0);
    const cells = [
      level,
      lsnText(lsnStart, lsnEnd),
      size === undefined ? '?' : formatBytes(Number(size)),
      stateText(layer),
      isWide ? name : level === 'L0' ? 'all' : shortKey(parseKey(keyStart)),
    ];
    const row = table.row({ cells });
    if (row !== undefined) await row;
  }
  await table.end();
  const count = formatNumberOf(layers.length, 'layer', 'layers');
  reporter.note(`${count}, ${formatBytes(Number(bytes))}`);
}

function lsnText(start: string, end: string | undefined): string {
  const [first, last] = [start, end].map((lsn) => lsn && formatPgLsn(parseLsn(lsn)));
  return last === undefined ? `${first}` : `${first}-${last}`;
}

function stateText({ present, inIndex, visible }: ListedLayer): string {
  if (present === false) return 'absent';
  if (inIndex === false) return 'extra';
  return visible === true ? 'visible' : visible === false ? 'covered' : '?';
}
