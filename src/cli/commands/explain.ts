/**
 * `explain`: shows what a pageserver would read for a key at an LSN, and what it would build the page from.
 */
import { isStorageError, StorageError } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { formatPgLsn, parseLsn } from '../../layers/lsn.ts';
import { explainKey } from '../../postgres/key-explanation.ts';
import type { PageResult } from '../../timeline/read-page.ts';
import type { Reconstruction } from '../../timeline/reconstruct.ts';
import { parseKeyWords } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import type { KeptAnswer, Read } from '../explained-reads.ts';
import { formatCount } from '../human.ts';
import { SOURCE_OPTIONS } from '../open-source.ts';
import { DIALECT, RECORD_FILTERS } from '../record-options.ts';
import { recordReading } from '../record-reading.ts';
import { AT_LSN, formatOf, listFormat, READ_LIMITS } from '../shared-options.ts';
import type { EntryDisplay } from '../timeline-json.ts';
import type { recordTextOf } from '../value-record.ts';

const OPTIONS = {
  ...AT_LSN,
  ...RECORD_FILTERS,
  batch: option(
    '--batch <file>',
    'explain the pairs KEY LSN of a file, or - for standard input',
    String,
  ),
  ...listFormat('one read'),
  ...SOURCE_OPTIONS,
  dialect: DIALECT,
  ...READ_LIMITS,
};
type ExplainOptions = OptionValues<typeof OPTIONS>;

export function addExplain({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'explain', OPTIONS)
    .description('Show which layers a read of a key visits, and what the page is built from.')
    .argument('<source>', 'directory, index_part.json or layer file')
    .argument('[key...]', '36 hex digits, or fields such as rel=1663/5/16384 blkno=7')
    .action((source: string, words: string[], options: ExplainOptions) =>
      runner((context) => explain(context, { source, words }, options)),
    );
  addExamples(command, [
    ['layerfile explain DIR rel=1663/5/16384 blkno=7', 'the newest page'],
    ['layerfile explain DIR KEY --lsn 0/1696000 --json', 'at an LSN, for a program'],
    ['layerfile explain DIR KEY --rmgr Heap', 'only the records of the heap in the lists'],
    ['layerfile explain DIR --batch pairs.txt --ndjson', 'many reads in one run'],
  ]);
}

export async function explain(
  context: Context,
  { source, words }: { source: string; words: readonly string[] },
  options: ExplainOptions,
): Promise<ExitStatus> {
  const { openSource, warnOfCutoff } = await import('../open-source.ts');
  const { batch } = options;
  if (batch !== undefined && (words.length > 0 || options.lsn !== undefined)) {
    throw new StorageError('usage', { what: '--batch cannot be combined with a key or --lsn' });
  }
  const wanted = batch === undefined ? { batch, key: parseKeyWords(words) } : { batch };
  const { valueFilter } = await import('../value-record.ts');
  const filter = valueFilter(options);
  await using timeline = await openSource(context, source, options);
  // The output of a batch is for programs, and may have millions of records.
  const reading =
    batch === undefined ? await recordReading(timeline.facts.pgVersion, options) : undefined;
  const printer = await printerOf(context, options, { reading, filter });
  let reads: AsyncIterable<Read>;
  if (wanted.batch === undefined) {
    const lsn = options.lsn ?? timeline.lastLsn;
    warnOfCutoff(context, { timeline, lsn, source });
    reads = oneRead({ key: wanted.key, lsn });
  } else {
    reads = readsOf(context, wanted.batch);
  }
  let status: ExitStatus = CLEAN;
  const { answersInOrder } = await import('../explained-reads.ts');
  const { explainResult } = await import('../../timeline/read-page.ts');
  const { pgVersion } = timeline.facts;
  const keep = async (found: Reconstruction) => {
    const result = await explainResult(found, pgVersion);
    return { result, ...printer.keep(found, result) };
  };
  for await (const answer of answersInOrder(timeline, reads, { keep, signal: context.signal })) {
    if (answer.result === 'missing' || answer.result === 'no-base') status = FINDINGS;
    await answer.print();
  }
  await printer.end();
  return status;
}

async function* oneRead(read: Read): AsyncGenerator<Read> {
  yield read;
}

/** The lines `KEY LSN` of a file; a key may be fields. */
async function* readsOf({ stdin, signal }: Context, file: string): AsyncGenerator<Read> {
  const { textLines } = await import('../text-lines.ts');
  let number = 0;
  for await (const line of textLines(file, { stdin, signal })) {
    number += 1;
    const words = line.trim().split(/\s+/);
    if (words[0] === '') continue;
    try {
      yield { key: parseKeyWords(words.slice(0, -1)), lsn: parseLsn(words.at(-1) ?? '') };
    } catch (error) {
      if (!isStorageError(error)) throw error;
      const what = `line ${number} of the batch is not KEY LSN: ${error.message}`;
      throw new StorageError('usage', { what, path: file, cause: error });
    }
  }
}

interface Printer {
  /** Keeps only the parts of an answer that are printed. */
  readonly keep: (found: Reconstruction, result: PageResult['kind']) => PrintableAnswer;
  readonly end: () => Promise<void>;
}

interface PrintableAnswer extends KeptAnswer {
  readonly print: () => Promise<void>;
}

async function printerOf(
  { stdout }: Context,
  options: ExplainOptions,
  display: EntryDisplay,
): Promise<Printer> {
  const { recordTextOf: textOf } = await import('../value-record.ts');
  const { reconstructionText } = await import('../timeline-json.ts');
  const format = formatOf(options);
  if (format === 'people') {
    return {
      keep: (found, result) => describe(stdout, { found, result, display, textOf }),
      end: async () => {},
    };
  }
  const { ListWriter } = await import('../list-writer.ts');
  const list = options.batch === undefined ? undefined : new ListWriter(stdout, format);
  return {
    keep: (found, result) => {
      const text = reconstructionText(found, result, display);
      return {
        size: text.length,
        print: async () =>
          await (list === undefined ? stdout.write(`${text}\n`) : list.write([text])),
      };
    },
    end: async () => await list?.end(),
  };
}

const RESULTS: Readonly<Record<PageResult['kind'], string>> = {
  page: 'the page can be made here',
  'needs-redo': 'WAL must be replayed by Postgres',
  missing: 'no value',
  'no-base': 'WAL records, but nothing to apply them to',
};

/** Approximate size in bytes of the text of a visit. */
const VISIT_SIZE = 512;

/** Number of records shown to people, the newest ones; programs get all. */
const SHOWN_RECORDS = 100;

function describe(
  stdout: Context['stdout'],
  answer: {
    readonly found: Reconstruction;
    readonly result: PageResult['kind'];
    readonly display: EntryDisplay;
    readonly textOf: typeof recordTextOf;
  },
): PrintableAnswer {
  const { found, result, textOf } = answer;
  const { reading, filter } = answer.display;
  const { key, lsn, visits, base, records } = found;
  const properties: [string, string][] = [
    ['key', `${formatKey(key)}  ${explainKey(key)}`],
    ['LSN', formatPgLsn(lsn)],
    ['base', base === undefined ? 'none' : `image at ${formatPgLsn(base.lsn)} in ${base.layer}`],
    ['records', `${records.length}`],
    ['result', `${result}: ${RESULTS[result]}`],
  ];
  const rows = visits.map(({ lsnRange, entries, layer }) => {
    const end = lsnRange.end > 0xffff_ffff_ffff_ffffn ? 'the end' : formatPgLsn(lsnRange.end);
    return [formatPgLsn(lsnRange.start), end, `${entries.length}`, layer];
  });
  const isListed = reading !== undefined || filter !== undefined;
  const wanted = isListed ? records.filter(({ type, bytes }) => filter?.(type, bytes) ?? true) : [];
  const texts = wanted
    .slice(-SHOWN_RECORDS)
    .map(({ lsn: at, type, bytes }) => [formatPgLsn(at), textOf(type, bytes, reading) || type]);
  return {
    size: (properties.length + rows.length + texts.length) * VISIT_SIZE,
    print: async () => {
      const { Table, writeProperties } = await import('../table.ts');
      await writeProperties(stdout, properties);
      const table = new Table(stdout, [
        { title: 'read from' },
        { title: 'up to, excluding' },
        { title: 'found', align: 'right' },
        { title: 'layer', overflow: 'cut' },
      ]);
      for (const cells of rows) await table.row({ cells });
      await table.end();
      if (texts.length === 0) {
        if (filter !== undefined) await stdout.write('\nno such record is applied\n');
        return;
      }
      const before = wanted.length - texts.length;
      const title = before === 0 ? 'applied' : `applied, after ${formatCount(before)} others`;
      await stdout.write('\n');
      const applied = new Table(stdout, [{ title: 'LSN' }, { title, overflow: 'wrap' }]);
      for (const cells of texts) await applied.row({ cells });
      await applied.end();
    },
  };
}
