/** `dump`: every entry in index order, with damage shown in its place. */
import { throwIfAborted } from '../../errors.ts';
import type { SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
import { countArgument, keyArgument, lsnArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  choice,
  type OptionValues,
  option,
} from '../command.ts';
import { type Context, VALUES_MODES } from '../context.ts';
import type { DumpWriter } from '../dump-writer.ts';
import { CLEAN, type ExitStatus, statusOfCode, strongest } from '../exit-status.ts';
import { REMOTE_OPTIONS } from '../remote-source.ts';
import { formatOf, listFormat, READ_LIMITS } from '../shared-options.ts';

const OPTIONS = {
  ...listFormat('one entry'),
  values: choice('--values <what>', 'what to print of each value', VALUES_MODES),
  keyStart: option('--key-start <key>', 'first key', keyArgument),
  keyEnd: option('--key-end <key>', 'key to stop before', keyArgument),
  lsnStart: option('--lsn-start <lsn>', 'first LSN', lsnArgument),
  lsnEnd: option('--lsn-end <lsn>', 'LSN to stop before', lsnArgument),
  limit: option('--limit <n>', 'maximum number of lines', countArgument),
  ...READ_LIMITS,
  ...REMOTE_OPTIONS,
};
type DumpOptions = OptionValues<typeof OPTIONS>;

export function addDump({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'dump', OPTIONS)
    .description('Print every entry in index order, and damage in its place.')
    .argument('<file>', 'layer file, or its s3:// or https:// URL')
    .action((file: string, options: DumpOptions) =>
      runner((context) => dump(context, file, options)),
    );
  addExamples(command, [
    ['layerfile dump FILE | less', 'a table'],
    ['layerfile dump FILE --ndjson --values sha256', 'for programs, with digests'],
    [
      'layerfile dump FILE --lsn-start 0/1696000 --limit 20',
      'twenty entries from an LSN on, which may be in either form',
    ],
    [
      '(layerfile inspect A --json; layerfile dump A --ndjson --values json) |\n' +
        '      layerfile build --out B --no-compress',
      'the same layer again',
    ],
  ]);
}

export async function dump(
  context: Context,
  file: string,
  options: DumpOptions,
): Promise<ExitStatus> {
  const { openForSalvage } = await import('../open-layer.ts');
  const { createDumpWriter } = await import('../dump-writer.ts');
  await using reader = await openForSalvage(file, { ...options, signal: context.signal });
  const { kind } = reader.summary;
  const format = formatOf(options);
  const writer = createDumpWriter(context.stdout, { format, values: options.values, kind });
  const status = await writeItems(context, { file, reader, writer, options });
  await writer.end();
  return status;
}

async function writeItems(
  context: Context,
  run: { file: string; reader: SalvageReader; writer: DumpWriter; options: DumpOptions },
): Promise<ExitStatus> {
  const { warnOfSalvaged } = await import('../open-layer.ts');
  const { dumpItems, LooseDigest, selectItems } = await import('../dump-items.ts');
  const { file, reader, writer, options } = run;
  const { limit = Number.POSITIVE_INFINITY } = options;
  const digest = new LooseDigest();
  const items = selectItems(reader, options, digest);
  if (limit === 0 || items === undefined) {
    warnOfSalvaged(context, { file, reader });
    return CLEAN;
  }
  const progress = context.stdoutIsFile ? context.reporter.progress({ label: 'dump' }) : undefined;
  let status: ExitStatus = CLEAN;
  let lineCount = 0;
  let offset = 0;
  const layer = { kind: reader.summary.kind, path: file, values: options.values, digest };
  batches: for await (const batch of dumpItems(items, layer)) {
    throwIfAborted(context.signal, file);
    if (lineCount === 0) warnOfSalvaged(context, { file, reader });
    for (const item of batch) {
      if (item.kind === 'entry') offset = item.shown.entry.offset;
      else if (item.kind === 'blob') offset = item.blob.offset;
      else status = strongest(status, statusOfCode(item.error.code));
      const written = writer.item(item);
      if (written !== undefined) await written;
      lineCount += 1;
      if (lineCount === limit) break batches;
    }
    progress?.update({ done: offset, total: reader.size });
  }
  progress?.finish();
  if (lineCount === 0) warnOfSalvaged(context, { file, reader });
  return status;
}
