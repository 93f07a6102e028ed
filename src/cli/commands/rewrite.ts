/** `rewrite`: copies a layer to another tenant and timeline. */
import { isStorageError, StorageError } from '../../errors.ts';
import {
  directoryArgument,
  generationArgument,
  identifierArgument,
  lsnArgument,
} from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  type OptionValues,
  option,
  requiredOption,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { encodeJson, layerObject } from '../json.ts';
import { isEmptyRange, KEY_RANGE_OPTIONS, keyRangeOf } from '../key-range.ts';
import { layerInput, REMOTE_OPTIONS } from '../remote-source.ts';
import { JSON_ERRORS, limitOptions, READ_LIMITS } from '../shared-options.ts';

const OPTIONS = {
  out: requiredOption('--out <dir>', 'directory for the layer', directoryArgument),
  tenant: option(
    '--tenant <id>',
    'tenant of the new layer (default: unchanged)',
    identifierArgument,
  ),
  timeline: option(
    '--timeline <id>',
    'timeline of the new layer (default: unchanged)',
    identifierArgument,
  ),
  generation: option(
    '--generation <hex8>',
    'generation in the name of the new layer',
    generationArgument,
  ),
  until: option('--until <lsn>', 'only entries below this LSN', lsnArgument),
  ...KEY_RANGE_OPTIONS,
  ...REMOTE_OPTIONS,
  ...READ_LIMITS,
  ...JSON_ERRORS,
};
type RewriteOptions = OptionValues<typeof OPTIONS>;

export function addRewrite({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'rewrite', OPTIONS)
    .description('Copy a layer into a new file: with other ids, up to an LSN, or a range of keys.')
    .argument('<file>', 'layer file or URL')
    .action((file: string, options: RewriteOptions) =>
      runner((context) => rewrite(context, file, options)),
    );
  addExamples(command, [
    ['layerfile rewrite FILE --tenant ID --timeline ID --out DIR', 'for another timeline'],
    ['layerfile rewrite FILE --until 0/16B3748 --out DIR', 'what a branch at this LSN needs'],
  ]);
  command.addHelpText(
    'after',
    `
Values are copied unchanged, including compressed ones. A damaged layer is not copied. If no entry is
left, no file is written, and the exit status is 1.`,
  );
}

async function rewrite(
  context: Context,
  file: string,
  options: RewriteOptions,
): Promise<ExitStatus> {
  const { openLayer } = await import('../../layers/open-layer.ts');
  const { copyLayer } = await import('../../reshape/copy-layer.ts');
  const { checkOutputDirectory, refuseInputAsOutput } = await import('../output-paths.ts');
  const { signal, reporter } = context;
  const { out, tenant, timeline, generation, until } = options;
  await checkOutputDirectory(out);
  const keyRange = keyRangeOf(options);
  if (keyRange !== undefined && isEmptyRange(keyRange)) {
    throw new StorageError('usage', { what: 'the range of keys is empty' });
  }
  const input = await layerInput(file, { ...options, signal });
  await using reader = await openLayer(input, {
    ...limitOptions(options),
    nameCheck: 'ignore',
    signal,
  });
  try {
    const { layer } = await copyLayer(reader, {
      ...{ directory: out, tenantId: tenant, timelineId: timeline, generation },
      ...{ keyRange, until, signal },
    });
    if (layer === undefined) {
      reporter.error(new StorageError('empty', { what: 'no entry is left', path: file }));
    }
    const layers = layer === undefined ? [] : [layerObject(layer)];
    await context.stdout.write(`${encodeJson({ layers })}\n`);
    return layer === undefined ? FINDINGS : CLEAN;
  } catch (error) {
    // The existing layer may be the source.
    const existing = isStorageError(error, 'exists') ? error.path : undefined;
    if (existing !== undefined) await refuseInputAsOutput(file, existing);
    throw error;
  }
}
