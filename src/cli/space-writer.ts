/** The output forms of `space`: a table, JSON, CSV, and a Parquet file. */
import { dirname } from 'node:path';
import type { Recompressed } from '../timeline/recompression.ts';
import type { SpaceRow } from '../timeline/space.ts';
import type { Context, Format } from './context.ts';
import { formatBytes, formatCount } from './human.ts';
import { encodeJson, type Json } from './json.ts';
import { ListWriter } from './list-writer.ts';
import { Table } from './table.ts';

export interface SpaceReport {
  readonly rows: readonly SpaceRow[];
  readonly recompressed: readonly Recompressed[];
}

/** Throws errors of writing the output. */
export async function writeSpace(
  context: Context,
  report: SpaceReport,
  { form, parquet }: { form: Format | 'csv'; parquet: string | undefined },
): Promise<void> {
  const { stdout } = context;
  if (parquet !== undefined) return writeParquet(context, report, parquet);
  if (form === 'csv') {
    const isTimed = report.recompressed.length > 0;
    const more = isTimed ? ',milliseconds' : '';
    await stdout.write(`name,entries,bytes,stored_bytes${more}\r\n`);
    for (const line of linesOf(report)) await stdout.write(`${csvLine(line, isTimed)}\r\n`);
    return;
  }
  if (form === 'people') return writeTables(context, report);
  const list = new ListWriter(stdout, form);
  for (const line of linesOf(report)) {
    const written = list.write([encodeJson(lineJson(line))]);
    if (written !== undefined) await written;
  }
  await list.end();
}

interface Line extends SpaceRow {
  readonly milliseconds?: number | undefined;
}

/** The sample at each level is also a line. */
function linesOf({ rows, recompressed }: SpaceReport): Line[] {
  const samples = recompressed.map(
    ({ choice, entries, bytes, storedBytes, milliseconds }): Line => ({
      name: choice === 'none' ? '(sample, none)' : `(sample, zstd ${choice})`,
      entries,
      bytes,
      storedBytes,
      milliseconds: Math.round(milliseconds * 1000) / 1000,
    }),
  );
  return [...rows, ...samples];
}

function lineJson({ name, entries, bytes, storedBytes, milliseconds }: Line): Json {
  return { name, entries, bytes, stored_bytes: storedBytes, milliseconds };
}

function csvLine(line: Line, isTimed: boolean): string {
  const { name, entries, bytes, storedBytes, milliseconds } = line;
  const quoted = /[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
  const cells = [quoted, entries, bytes, storedBytes];
  return (isTimed ? [...cells, milliseconds ?? ''] : cells).join(',');
}

async function writeTables(
  { stdout }: Context,
  { rows, recompressed }: SpaceReport,
): Promise<void> {
  const total = rows.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  const table = new Table(stdout, [
    { title: 'STORED', align: 'right' },
    { title: '%', align: 'right' },
    { title: 'PLAIN', align: 'right' },
    { title: 'ENTRIES', align: 'right' },
    { title: 'NAME', style: 'cyan', overflow: 'cut' },
  ]);
  for (const { name, entries, bytes, storedBytes } of rows) {
    const share = total === 0 ? '' : ((100 * storedBytes) / total).toFixed(1);
    const plain = entries === 0 ? '' : formatBytes(bytes);
    const count = entries === 0 ? '' : formatCount(entries);
    await table.row({ cells: [formatBytes(storedBytes), share, plain, count, name] });
  }
  await table.end();
  if (recompressed.length === 0) return;
  const [first] = recompressed;
  await stdout.write(
    `\nsample of ${formatCount(first?.entries ?? 0)} images, ${formatBytes(first?.bytes ?? 0)}:\n`,
  );
  const levels = new Table(stdout, [
    { title: 'ZSTD', align: 'right' },
    { title: 'STORED', align: 'right' },
    { title: '%', align: 'right' },
    { title: 'TIME', align: 'right' },
  ]);
  for (const { choice, bytes, storedBytes, milliseconds } of recompressed) {
    const share = bytes === 0 ? '' : ((100 * storedBytes) / bytes).toFixed(1);
    const cells = [
      String(choice),
      formatBytes(storedBytes),
      share,
      `${milliseconds.toFixed(1)} ms`,
    ];
    await levels.row({ cells });
  }
  await levels.end();
}

/** Replaces the file atomically; `-` is standard output. */
async function writeParquet(context: Context, report: SpaceReport, file: string): Promise<void> {
  const { parquetWriteBuffer } = await import('hyparquet-writer');
  const lines = linesOf(report);
  const integers = (of: (line: Line) => number): bigint[] => lines.map((line) => BigInt(of(line)));
  const bytes = new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: 'name', data: lines.map(({ name }) => name), type: 'STRING' },
        { name: 'entries', data: integers(({ entries }) => entries), type: 'INT64' },
        { name: 'bytes', data: integers(({ bytes: plain }) => plain), type: 'INT64' },
        { name: 'stored_bytes', data: integers(({ storedBytes }) => storedBytes), type: 'INT64' },
        ...(report.recompressed.length === 0 ? [] : [millisecondsColumn(lines)]),
      ],
    }),
  );
  if (file === '-') return context.stdout.writeBytes(bytes);
  const { checkOutputDirectory } = await import('./output-paths.ts');
  const { overwriteFile } = await import('../write-once/overwrite.ts');
  await checkOutputDirectory(dirname(file));
  await overwriteFile(file, bytes, { signal: context.signal });
}

function millisecondsColumn(lines: readonly Line[]) {
  const data = lines.map(({ milliseconds }) => milliseconds ?? null);
  return { name: 'milliseconds', data, type: 'DOUBLE', nullable: true } as const;
}
