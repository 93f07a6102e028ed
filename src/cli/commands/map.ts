/** `map`: makes a page that draws the layers of a timeline. */

import type { Lsn } from '../../layers/lsn.ts';
import { lsnArgument, outputFileArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  type OptionValues,
  option,
  requiredOption,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus } from '../exit-status.ts';
import { formatNumberOf } from '../human.ts';
import { encodeJson } from '../json.ts';
import { SOURCE_OPTIONS } from '../open-source.ts';
import { isUrl, REMOTE_OPTIONS } from '../remote-source.ts';
import { JSON_ERRORS } from '../shared-options.ts';

const OPTIONS = {
  out: requiredOption('--out <file>', 'HTML file, or - for standard output', outputFileArgument),
  title: option('--title <text>', 'title of the page (default: the timeline)', (text) => text),
  tenant: SOURCE_OPTIONS.tenant,
  timeline: SOURCE_OPTIONS.timeline,
  ...REMOTE_OPTIONS,
  gcCutoff: option('--gc-cutoff <lsn>', 'GC cutoff to draw', lsnArgument),
  branch: option<readonly Lsn[]>(
    '--branch <lsn>',
    'branch point to draw; may be repeated',
    (text, others = []) => [...others, lsnArgument(text)],
  ),
  ...JSON_ERRORS,
};
type MapCommandOptions = OptionValues<typeof OPTIONS>;

export function addMap({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'map', OPTIONS)
    .description('Draw the layers of a timeline as an HTML page that works offline.')
    .argument('<source...>', 'timeline, index_part.json, list of names, or -')
    .action((sources: string[], options: MapCommandOptions) =>
      runner((context) => map(context, sources, options)),
    );
  addExamples(command, [
    ['layerfile map index_part.json-00000002 --out map.html', 'the layers of an index'],
    [
      'layerfile map OLD/index_part.json NEW/index_part.json --out map.html',
      'two indices, with a slider between them',
    ],
    ['ls TIMELINE | layerfile map - --branch 0/169AD58 --out map.html', 'from a list of names'],
  ]);
}

async function map(
  context: Context,
  sources: readonly string[],
  options: MapCommandOptions,
): Promise<ExitStatus> {
  const { refuseInputAsOutput, STANDARD_OUTPUT } = await import('../output-paths.ts');
  const { readMapSource } = await import('../map-source.ts');
  const { drawMap } = await import('../../map/draw-map.ts');
  const { readPageAssets } = await import('../../map/page-assets.ts');
  const { signal, reporter, stdout } = context;
  const isPiped = options.out === '-';
  for (const source of sources) {
    if (source !== '-' && !isUrl(source))
      await refuseInputAsOutput(source, isPiped ? STANDARD_OUTPUT : options.out);
  }
  const read = [];
  for (const source of sources) {
    read.push(await readMapSource(context, source, options));
  }
  const { gcCutoff, branch = [] } = options;
  const snapshots = read.flatMap((source) => source.snapshots);
  const commonLength = commonDirectoryLength(snapshots.map(({ label }) => label));
  const { html, layers, leftOut } = drawMap({
    title: options.title ?? `Timeline ${read[0]?.title ?? ''}`,
    snapshots: snapshots.map((snapshot) => ({
      ...snapshot,
      label: snapshot.label.slice(commonLength),
      gcCutoffLsn: gcCutoff ?? snapshot.gcCutoffLsn,
      branchLsns: [...(snapshot.branchLsns ?? []), ...branch],
    })),
    assets: await readPageAssets(),
  });
  if (leftOut.count > 0) {
    reporter.warning(
      `${formatNumberOf(leftOut.count, 'name is', 'names are')} not on the map: ${leftOut.examples[0]}`,
    );
  }
  if (isPiped) {
    await stdout.write(html);
    return CLEAN;
  }
  const { overwriteFile } = await import('../../write-once/overwrite.ts');
  await overwriteFile(options.out, html, { signal });
  const size = Buffer.byteLength(html);
  await stdout.write(`${encodeJson({ path: options.out, layers, size })}\n`);
  return CLEAN;
}

/** Length of the directory that all paths begin with, including its slash. */
function commonDirectoryLength([first = '', ...others]: readonly string[]): number {
  let length = first.lastIndexOf('/') + 1;
  while (length > 0 && others.some((path) => !path.startsWith(first.slice(0, length)))) {
    length = first.lastIndexOf('/', length - 2) + 1;
  }
  return length;
}
