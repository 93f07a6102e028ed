/** `layout`: what every byte of a layer file is. */
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import { fileLayout, type LayoutRange } from '../../layers/layer-file/file-layout.ts';
import { openSource } from '../../layers/layer-file/open-file.ts';
import { printable } from '../../printable.ts';
import type { Context, Format } from '../context.ts';
import { CLEAN, type ExitStatus, statusOfCode, strongest } from '../exit-status.ts';
import { encodeJson } from '../json.ts';
import { ListWriter } from '../list-writer.ts';
import { refuseInputAsOutput, STANDARD_OUTPUT } from '../output-paths.ts';
import { storageErrorJson } from '../reporter.ts';
import { Table } from '../table.ts';

export interface LayoutOptions {
  readonly file: string;
  readonly format: Format;
  /** Whether the first bytes of each range are shown. */
  readonly hex: boolean;
}

/** Bytes of a range that `--hex` shows. */
const SHOWN_BYTES = 26;

export async function layout(
  context: Context,
  { file, format, hex }: LayoutOptions,
): Promise<ExitStatus> {
  await refuseInputAsOutput(file, STANDARD_OUTPUT);
  const { source, close } = await openSource(file, {});
  try {
    const writer =
      format === 'people' ? new RangeTable(context, hex) : new RangeList(context, format);
    let status: ExitStatus = CLEAN;
    let isAnyListed = false;
    try {
      for await (const range of fileLayout(source, { signal: context.signal })) {
        isAnyListed = true;
        if (range.error !== undefined) status = strongest(status, statusOfCode(range.error.code));
        await writer.range(range, hex ? await firstBytes(source, range) : undefined);
      }
    } finally {
      // What was listed before an error is shown.
      if (isAnyListed) await writer.end();
    }
    return status;
  } finally {
    await close();
  }
}

async function firstBytes(source: ByteSource, { offset, length }: LayoutRange): Promise<string> {
  const bytes = Buffer.alloc(Math.min(length, SHOWN_BYTES));
  await readExactly(source, bytes, offset);
  return bytes.toString('hex');
}

class RangeList {
  readonly #list: ListWriter;

  constructor({ stdout }: Context, format: 'json' | 'ndjson') {
    this.#list = new ListWriter(stdout, format);
  }

  range(range: LayoutRange, hex: string | undefined): Promise<void> | undefined {
    const { offset, length, what, detail, error } = range;
    const errorField = error === undefined ? undefined : storageErrorJson(error);
    return this.#list.write([encodeJson({ offset, length, what, detail, hex, error: errorField })]);
  }

  end(): Promise<void> {
    return this.#list.end();
  }
}

/** A tree: the parts of the file, and their ranges below them. */
class RangeTable {
  readonly #table: Table;
  #heading = '';

  constructor({ stdout }: Context, hex: boolean) {
    this.#table = new Table(stdout, [
      { title: 'OFFSET', align: 'right' },
      { title: 'LENGTH', align: 'right' },
      { title: 'WHAT' },
      ...(hex ? [{ title: 'BYTES', style: 'cyan' as const }] : []),
      { title: 'DETAIL', overflow: 'cut' },
    ]);
  }

  async range(range: LayoutRange, hex: string | undefined): Promise<void> {
    const { offset, length, what, detail = '', error } = range;
    const heading = headingOf(range);
    if (heading !== this.#heading) {
      this.#heading = heading;
      await this.#table.row({ cells: ['', '', heading], style: 'bold' });
    }
    const more = hex !== undefined && 2 * length > hex.length ? '…' : '';
    const cells = [`${offset}`, `${length}`, `  ${what}`];
    if (hex !== undefined) cells.push(`${hex}${more}`);
    const text = error === undefined ? detail : printable(`${detail} ${error.message}`).trim();
    await this.#table.row({ cells: [...cells, text], ...(error && { style: 'red' }) });
  }

  end(): Promise<void> {
    return this.#table.end();
  }
}

function headingOf({ part, block }: LayoutRange): string {
  if (block !== undefined) return `index block ${block}`;
  return part === 'rest' ? 'rest' : part;
}
