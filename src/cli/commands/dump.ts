/** `dump`: every entry in index order, with damage shown in its place. */
import { InvalidArgumentError } from 'commander';
import { StorageError, throwIfAborted } from '../../errors.ts';
import type { SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
import { countArgument } from '../arguments.ts';
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
import { isEmptyRange, KEY_RANGE_OPTIONS, keyRangeOf } from '../key-range.ts';
import { DIALECT, PG_VERSION, RECORD_FILTERS } from '../record-options.ts';
import { recordReading } from '../record-reading.ts';
import { isUrl, REMOTE_OPTIONS } from '../remote-source.ts';
import { formatOf, LSN_RANGE, listFormat, READ_LIMITS, WIDE } from '../shared-options.ts';

const OPTIONS = {
  ...listFormat('one entry'),
  values: choice('--values <what>', 'what to print of each value', VALUES_MODES),
  ...KEY_RANGE_OPTIONS,
  ...LSN_RANGE,
  versions: option(
    '--versions <n>',
    'newest versions of each key (default: all)',
    versionsArgument,
  ),
  limit: option('--limit <n>', 'maximum number of lines', countArgument),
  ...RECORD_FILTERS,
  pgVersion: PG_VERSION,
  dialect: DIALECT,
  wide: WIDE,
  ...READ_LIMITS,
  ...REMOTE_OPTIONS,
};
/** They are in memory at the same time. */
const MAXIMUM_VERSIONS = 1000;
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
      'twenty entries, starting at an LSN in either form',
    ],
    ['layerfile dump FILE --rel 1663/5/16384 --fork main', 'one fork of a relation'],
    [
      'layerfile dump FILE --rmgr Heap --values json --pg-version 17',
      'WAL records of the heap, in words',
    ],
    [
      'layerfile dump FILE --key "path=base/5/16384 blkno=7" --versions 1',
      'the newest version of one key',
    ],
    [
      '(layerfile inspect A --json; layerfile dump A --ndjson --values json) |\n' +
        '      layerfile build --out B --no-compress',
      'the same layer again',
    ],
  ]);
}

function versionsArgument(text: string): number {
  const count = countArgument(text);
  if (count >= 1 && count <= MAXIMUM_VERSIONS) return count;
  throw new InvalidArgumentError(`Expected a number from 1 to ${MAXIMUM_VERSIONS}.`);
}

export async function dump(
  context: Context,
  file: string,
  options: DumpOptions,
): Promise<ExitStatus> {
  const { isTimelineArgument } = await import('../source-place.ts');
  if (await isTimelineArgument(file, { ...options, signal: context.signal })) {
    // A path that is not a layer is exit status 3; a URL that ends with a slash is wrong usage.
    throw new StorageError(isUrl(file) ? 'usage' : 'io', {
      what: 'dump prints one layer: for a timeline, use ls for its layers or find for a key',
      path: file,
    });
  }
  const { openForSalvage } = await import('../open-layer.ts');
  const { createDumpWriter } = await import('../dump-writer.ts');
  await using reader = await openForSalvage(file, { ...options, signal: context.signal });
  const format = formatOf(options);
  const writer = createDumpWriter(context.stdout, {
    format,
    values: options.values,
    reading: await recordReading(options.pgVersion, options),
    isWide: options.wide === true,
  });
  const status = await writeItems(context, { file, reader, writer, options });
  await writer.end();
  return status;
}

async function writeItems(
  context: Context,
  run: { file: string; reader: SalvageReader; writer: DumpWriter; options: DumpOptions },
): Promise<ExitStatus> {
  const { warnOfSalvaged } = await import('../open-layer.ts');
  const { dumpItems, LooseDigest, selectItems, wantedItems } = await import('../dump-items.ts');
  const { newestVersions } = await import('../newest-versions.ts');
  const { file, reader, writer, options } = run;
  const { limit = Number.POSITIVE_INFINITY } = options;
  const digest = new LooseDigest();
  const { versions, values, lsnStart, lsnEnd } = options;
  const keyRange = keyRangeOf(options);
  const isNothing = keyRange !== undefined && isEmptyRange(keyRange);
  const { valueFilter } = await import('../value-record.ts');
  const filter = valueFilter(options);
  const selection = { keyRange, lsnStart, lsnEnd, values, filter };
  const items = isNothing ? undefined : selectItems(reader, selection, digest);
  if (limit === 0 || items === undefined) {
    warnOfSalvaged(context, { file, reader });
    return CLEAN;
  }
  const progress = context.stdoutIsFile ? context.reporter.progress({ label: 'dump' }) : undefined;
  let status: ExitStatus = CLEAN;
  let lineCount = 0;
  let offset = 0;
  const layer = { kind: reader.summary.kind, path: file, values, digest };
  const found = dumpItems(items, layer);
  const all = filter === undefined ? found : wantedItems(found, filter);
  const batches = versions === undefined ? all : newestVersions(all, versions, values);
  shown: for await (const batch of batches) {
    throwIfAborted(context.signal, file);
    if (lineCount === 0) warnOfSalvaged(context, { file, reader });
    for (const item of batch) {
      if (item.kind === 'entry') offset = item.shown.entry.offset;
      else if (item.kind === 'blob') offset = item.blob.offset;
      else status = strongest(status, statusOfCode(item.error.code));
      const written = writer.item(item);
      if (written !== undefined) await written;
      lineCount += 1;
      if (lineCount === limit) break shown;
    }
    progress?.update({ done: offset, total: reader.size });
  }
  progress?.finish();
  if (lineCount === 0) warnOfSalvaged(context, { file, reader });
  return status;
}
