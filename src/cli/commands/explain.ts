/** `explain`: what a pageserver would read for a key at an LSN, and what it would make the page of. */
import { isStorageError, StorageError } from '../../errors.ts';
import { formatKey, type Key } from '../../layers/key.ts';
import { formatPgLsn, type Lsn, parseLsn } from '../../layers/lsn.ts';
import { explainKey } from '../../postgres/key-explanation.ts';
import type { PageResult } from '../../timeline/read-page.ts';
import type { Reconstruction } from '../../timeline/reconstruct.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import { parseKeyWords } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS, strongest } from '../exit-status.ts';
import { encodeJson } from '../json.ts';
import type { ListWriter } from '../list-writer.ts';
import { SOURCE_OPTIONS } from '../open-source.ts';
import { AT_LSN, formatOf, listFormat, READ_LIMITS } from '../shared-options.ts';

const OPTIONS = {
  ...AT_LSN,
  batch: option(
    '--batch <file>',
    'explain the pairs KEY LSN of a file, or - for standard input',
    String,
  ),
  ...listFormat('one read'),
  ...SOURCE_OPTIONS,
  ...READ_LIMITS,
};
type ExplainOptions = OptionValues<typeof OPTIONS>;

export function addExplain({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'explain', OPTIONS)
    .description('Show which layers a read of a key visits, and what the page is made of.')
    .argument('<source>', 'directory, index_part.json or layer file')
    .argument('[key...]', '36 hex digits, or fields such as rel=1663/5/16384 blkno=7')
    .action((source: string, words: string[], options: ExplainOptions) =>
      runner((context) => explain(context, { source, words }, options)),
    );
  addExamples(command, [
    ['layerfile explain DIR rel=1663/5/16384 blkno=7', 'the newest page'],
    ['layerfile explain DIR KEY --lsn 0/1696000 --json', 'at an LSN, for a program'],
    ['layerfile explain DIR --batch pairs.txt --ndjson', 'many reads at once'],
  ]);
}

/** A read to explain. */
interface Read {
  readonly key: Key;
  readonly lsn: Lsn;
}

/** Reads whose values are in memory together. */
const BATCH_SIZE = 256;

export async function explain(
  context: Context,
  { source, words }: { source: string; words: readonly string[] },
  options: ExplainOptions,
): Promise<ExitStatus> {
  const { openSource, warnOfCutoff } = await import('../open-source.ts');
  const { batch } = options;
  const key = batch === undefined ? parseKeyWords(words) : undefined;
  if (batch !== undefined && (words.length > 0 || options.lsn !== undefined)) {
    throw new StorageError('usage', { what: 'with --batch there is neither a key nor --lsn' });
  }
  const printer = await printerOf(context, options);
  await using timeline = await openSource(context, source, options);
  let status: ExitStatus = CLEAN;
  if (key !== undefined) {
    const lsn = options.lsn ?? timeline.lastLsn;
    warnOfCutoff(context, { timeline, lsn, source });
    status = await explainReads(context, timeline, { reads: [{ key, lsn }], printer });
  } else if (batch !== undefined) {
    let reads: Read[] = [];
    const flush = async (): Promise<void> => {
      status = strongest(status, await explainReads(context, timeline, { reads, printer }));
      reads = [];
    };
    for await (const read of readsOf(context, batch)) {
      if (reads.push(read) === BATCH_SIZE) await flush();
    }
    await flush();
  }
  await printer.end();
  return status;
}

/** Reads of one LSN share their visits. */
async function explainReads(
  { signal }: Context,
  timeline: Timeline,
  { reads, printer }: { reads: readonly Read[]; printer: Printer },
): Promise<ExitStatus> {
  const { explainResult } = await import('../../timeline/explain-result.ts');
  const byLsn = new Map<Lsn, Key[]>();
  for (const { key, lsn } of reads) {
    const keys = byLsn.get(lsn);
    if (keys === undefined) byLsn.set(lsn, [key]);
    else keys.push(key);
  }
  const found = new Map<string, Reconstruction>();
  for (const [lsn, keys] of byLsn) {
    for (const one of await timeline.reconstructMany(keys, lsn, { signal })) {
      found.set(nameOf(one), one);
    }
  }
  let status: ExitStatus = CLEAN;
  for (const read of reads) {
    const one = found.get(nameOf(read));
    if (one === undefined) continue;
    const result = await explainResult(one, timeline.facts.pgVersion);
    if (result === 'missing' || result === 'no-base') status = FINDINGS;
    await printer.print(one, result);
  }
  return status;
}

function nameOf({ key, lsn }: Read): string {
  return `${formatKey(key)} ${lsn}`;
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
  readonly print: (found: Reconstruction, result: PageResult['kind']) => Promise<void>;
  readonly end: () => Promise<void>;
}

async function printerOf({ stdout }: Context, options: ExplainOptions): Promise<Printer> {
  const { reconstructionJson } = await import('../timeline-json.ts');
  const format = formatOf(options);
  if (format === 'people') {
    return { print: (found, result) => describe(stdout, found, result), end: async () => {} };
  }
  const encode = (found: Reconstruction, result: PageResult['kind']): string =>
    encodeJson(reconstructionJson(found, result));
  if (options.batch === undefined) {
    return {
      print: async (found, result) => void (await stdout.write(`${encode(found, result)}\n`)),
      end: async () => {},
    };
  }
  const { ListWriter } = await import('../list-writer.ts');
  const list: ListWriter = new ListWriter(stdout, format);
  return {
    print: async (found, result) => void (await list.write([encode(found, result)])),
    end: () => list.end(),
  };
}

const RESULTS: Readonly<Record<PageResult['kind'], string>> = {
  page: 'the page can be made here',
  'needs-redo': 'WAL must be replayed by Postgres',
  missing: 'no value',
  'no-base': 'WAL records, but nothing to apply them to',
};

async function describe(
  stdout: Context['stdout'],
  found: Reconstruction,
  result: PageResult['kind'],
): Promise<void> {
  const { Table, writeProperties } = await import('../table.ts');
  const { key, lsn, visits, base, records } = found;
  await writeProperties(stdout, [
    ['key', `${formatKey(key)}  ${explainKey(key)}`],
    ['LSN', formatPgLsn(lsn)],
    ['base', base === undefined ? 'none' : `image at ${formatPgLsn(base.lsn)} in ${base.layer}`],
    ['records', `${records.length}`],
    ['result', `${result}: ${RESULTS[result]}`],
  ]);
  const table = new Table(stdout, [
    { title: 'read from' },
    { title: 'up to, excluding' },
    { title: 'found', align: 'right' },
    { title: 'layer', overflow: 'cut' },
  ]);
  for (const { lsnRange, entries, layer } of visits) {
    const end = lsnRange.end > 0xffff_ffff_ffff_ffffn ? 'the end' : formatPgLsn(lsnRange.end);
    await table.row({
      cells: [formatPgLsn(lsnRange.start), end, `${entries.length}`, layer],
    });
  }
  await table.end();
}
