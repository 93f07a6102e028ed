/** `find`: lists all versions of a key in the layers of a timeline. */
import { StorageError } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { formatPgLsn } from '../../layers/lsn.ts';
import { countArgument, parseKeyWords } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { formatBytes } from '../human.ts';
import { encodeJson } from '../json.ts';
import { SOURCE_OPTIONS } from '../open-source.ts';
import { DIALECT, RECORD_FILTERS } from '../record-options.ts';
import { recordReading } from '../record-reading.ts';
import { formatOf, LSN_RANGE, listFormat, READ_LIMITS } from '../shared-options.ts';

const OPTIONS = {
  ...LSN_RANGE,
  limit: option('--limit <n>', 'maximum number of versions', countArgument),
  ...RECORD_FILTERS,
  ...listFormat('one version'),
  ...SOURCE_OPTIONS,
  dialect: DIALECT,
  ...READ_LIMITS,
};
type FindOptions = OptionValues<typeof OPTIONS>;

export function addFind({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'find', OPTIONS)
    .description('List the versions of a key in all layers of a timeline, newest first.')
    .argument('<source>', 'directory, index_part.json or layer file')
    .argument('<key...>', '36 hex digits, or fields such as rel=1663/5/16384 blkno=7')
    .action((source: string, words: string[], options: FindOptions) =>
      runner((context) => find(context, { source, words }, options)),
    );
  addExamples(command, [
    ['layerfile find DIR rel=1663/5/16384 blkno=7', 'a block of a relation'],
    ['layerfile find DIR path=base/5/16384.1 blkno=7', 'a block of a file'],
    ['layerfile find DIR KEY --rmgr Heap', 'the WAL records of the heap, in words'],
    ['layerfile find DIR KEY --limit 1 --ndjson', 'the newest version, for a program'],
  ]);
}

export async function find(
  context: Context,
  { source, words }: { source: string; words: readonly string[] },
  options: FindOptions,
): Promise<ExitStatus> {
  const { openSource } = await import('../open-source.ts');
  const { ListWriter } = await import('../list-writer.ts');
  const { Table } = await import('../table.ts');
  const { recordTextOf, valueFilter } = await import('../value-record.ts');
  const { timelineEntryJson } = await import('../timeline-json.ts');
  const { stdout, reporter, signal } = context;
  const key = parseKeyWords(words);
  const { lsnStart, lsnEnd, limit = Number.POSITIVE_INFINITY } = options;
  const filter = valueFilter(options);
  await using timeline = await openSource(context, source, options);
  const format = formatOf(options);
  const reading = await recordReading(timeline.facts.pgVersion, options);
  const list = format === 'people' ? undefined : new ListWriter(stdout, format);
  const table = new Table(stdout, [
    { title: 'LSN' },
    { title: 'type' },
    { title: 'length', align: 'right' },
    ...(reading === undefined ? [] : [{ title: 'record' }]),
    { title: 'layer', overflow: 'cut' },
  ]);
  let count = 0;
  const versions = timeline.history(key, { lsnStart, lsnEnd, signal });
  if (limit > 0) {
    for await (const entry of versions) {
      if (filter !== undefined && !filter(entry.type, entry.bytes)) continue;
      const cells = [formatPgLsn(entry.lsn), typeText(entry), formatBytes(entry.bytes.length)];
      if (list !== undefined) await list.write([encodeJson(timelineEntryJson(entry, reading))]);
      else {
        const record = recordTextOf(entry.type, entry.bytes, reading);
        await table.row({
          cells: [...cells, ...(reading === undefined ? [] : [record]), entry.layer],
        });
      }
      count += 1;
      if (count === limit) break;
    }
  }
  await list?.end();
  await table.end();
  if (count > 0 || limit === 0) return CLEAN;
  reporter.error(
    new StorageError('not-found', {
      what:
        filter === undefined
          ? 'no version of the key in the timeline'
          : 'no such record of the key in the timeline',
      path: source,
      key: formatKey(key),
    }),
  );
  return FINDINGS;
}

function typeText({ type, willInit }: { type: string; willInit: boolean }): string {
  return type === 'wal' && willInit ? 'wal, will init' : type;
}
