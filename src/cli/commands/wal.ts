/** `wal`: prints the records of WAL like pg_waldump, for any version and without a server. */
import { dirname } from 'node:path';
import { StorageError } from '../../errors.ts';
import type { Lsn } from '../../layers/lsn.ts';
import type { WalReader } from '../../wal/wal-reader.ts';
import type { WalSource } from '../../wal/wal-source.ts';
import { addCommand, addExamples, type CommandParents } from '../command.ts';
import type { Context } from '../context.ts';
import type { ExitStatus } from '../exit-status.ts';
import { WAL_OPTIONS, type WalOptions } from '../wal-options.ts';

export function addWal({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'wal', WAL_OPTIONS)
    .description('Print the records of WAL of Postgres 14 to 17.')
    .argument(
      '[path...]',
      'segment, directory of segments, s3:// prefix, URL, or - for standard input',
    )
    .action((paths: string[], options: WalOptions) =>
      runner((context) => wal(context, paths, options)),
    );
  addExamples(command, [
    [
      'layerfile wal pg_wal --start 0/1700058 --limit 20',
      'twenty records, as pg_waldump prints them',
    ],
    [
      'layerfile wal pg_wal --rel 1663/5/16384 --block 7 --ndjson',
      'the changes to one block, for programs',
    ],
    [
      'layerfile wal --stats=record 000000010000000000000017',
      'the kinds of records in one segment',
    ],
    ['layerfile wal --follow s3://BUCKET/wal/ --rmgr Transaction', 'transactions, as they end'],
    ['layerfile wal pg_wal --fullpage --save-fullpage DIR', 'page images, one per file'],
  ]);
}

async function wal(
  context: Context,
  words: readonly string[],
  options: WalOptions,
): Promise<ExitStatus> {
  const { stats, saveFullpage } = options;
  if (stats?.path !== undefined) await checkStatisticsPath(stats.path);
  const paths = stats?.path === undefined ? words : [stats.path, ...words];
  if (paths.length === 0)
    throw new StorageError('usage', { what: 'a path is missing: name WAL to read' });
  if (saveFullpage !== undefined) {
    const { refuseOutputWithin } = await import('../output-paths.ts');
    // It need not exist yet.
    await refuseOutputWithin(paths, saveFullpage);
    await refuseOutputWithin(paths, dirname(saveFullpage));
  }
  const { isUrl } = await import('../remote-source.ts');
  const { walInput } = await import('../wal-input.ts');
  const { openWal } = await import('../../wal/wal-reader.ts');
  const { walSelection } = await import('../record-filter.ts');
  const { waitingForMore } = await import('../wal-follow.ts');
  const { printRecords, printStatistics } = await import('../wal-records.ts');
  const { start, end, timeline, skipCorrupt, follow } = options;
  if (start !== undefined && end !== undefined && end < start) {
    throw new StorageError('usage', { what: 'the range of LSNs ends before it starts' });
  }
  if (follow && paths.every((path) => path === '-')) {
    throw new StorageError('usage', {
      what: 'standard input cannot be followed: --follow needs a path',
    });
  }
  const source = await walInput(context, paths, options);
  if (context.stdoutIsFile) await refuseSegmentsAsOutput(source, context.signal);
  const followed = { source, paths, end: () => reader.end };
  const waitForMore = follow ? waitingForMore(context, followed) : undefined;
  const { signal } = context;
  const openAt = (from: Lsn | undefined): Promise<WalReader> =>
    openWal(source, { start: from, end, timeline, skipCorrupt, waitForMore, signal });
  const reader = await openAt(start);
  if (reader.unlinkedCount > 0) await warnOfUnlinked(context, reader);
  const selection = walSelection(options, reader.majorVersion);
  const localSource = paths.some((path) => path === '-' || isUrl(path)) ? undefined : source;
  const run = { reader, selection, options, localSource, openAt };
  return stats === undefined
    ? printRecords(context, run)
    : printStatistics(context, { ...run, rows: stats.rows });
}

/** An unknown word after `--stats=` is a misspelling, unless it is a path. */
async function checkStatisticsPath(path: string): Promise<void> {
  if (path === '-' || /[/.]/.test(path)) return;
  const { existsSync } = await import('node:fs');
  if (existsSync(path)) return;
  throw new StorageError('usage', {
    what: '--stats',
    expected: 'rmgr, record or a path of WAL',
    actual: JSON.stringify(path),
  });
}

async function warnOfUnlinked({ reporter }: Context, reader: WalReader): Promise<void> {
  const { formatNumberOf } = await import('../human.ts');
  const { formatTimelineHistoryName } = await import('../../wal/segment-name.ts');
  const { timelineId, unlinkedCount } = reader;
  const count = formatNumberOf(unlinkedCount, 'segment', 'segments');
  const name = formatTimelineHistoryName(timelineId);
  reporter.warning(`${count} of older timelines left out: no ${name} says where they end`);
}

/** Runs before anything is printed: the lines must not end up in a segment. */
async function refuseSegmentsAsOutput(source: WalSource, signal: AbortSignal): Promise<void> {
  const { refuseInputAsOutput, STANDARD_OUTPUT } = await import('../output-paths.ts');
  for (const { path } of await source.list(signal)) {
    if (path !== '') await refuseInputAsOutput(path, STANDARD_OUTPUT);
  }
}
