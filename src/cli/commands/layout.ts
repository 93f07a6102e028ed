/** `layout`: the meaning of every byte of a layer file. */
import type { LayoutRange } from '../../layers/layer-file/file-layout.ts';
import { printable } from '../../printable.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, statusOfCode, strongest } from '../exit-status.ts';
import { encodeJson } from '../json.ts';
import { ListWriter } from '../list-writer.ts';
import { REMOTE_OPTIONS } from '../remote-source.ts';
import { storageErrorJson } from '../reporter.ts';
import { formatOf, listFormat } from '../shared-options.ts';
import { Table } from '../table.ts';

const OPTIONS = {
  ...listFormat('one range'),
  ...REMOTE_OPTIONS,
  hex: flag('--hex', 'also print the first bytes of each range'),
};
type LayoutOptions = OptionValues<typeof OPTIONS>;

export function addLayout({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'layout', OPTIONS)
    .description('Print the meaning of every byte of a layer file.')
    .argument('<file>', 'layer file, or its s3:// or https:// URL')
    .action((file: string, options: LayoutOptions) =>
      runner((context) => layout(context, file, options)),
    );
  addExamples(command, [
    ['layerfile layout FILE | less', 'summary, values, padding and index'],
    ['layerfile layout FILE --hex', 'the same, with the bytes'],
  ]);
}

/** Bytes of a range that `--hex` shows. */
const SHOWN_BYTES = 26;

async function layout(context: Context, file: string, options: LayoutOptions): Promise<ExitStatus> {
  const { readExactly } = await import('../../blob-writer/byte-source.ts');
  const { fileLayout } = await import('../../layers/layer-file/file-layout.ts');
  const { openSource } = await import('../../layers/layer-file/open-file.ts');
  const format = formatOf(options);
  const isHex = options.hex === true;
  const { refuseInputAsOutput, STANDARD_OUTPUT } = await import('../output-paths.ts');
  await refuseInputAsOutput(file, STANDARD_OUTPUT);
  const { layerInput } = await import('../remote-source.ts');
  const { source, close } = await openSource(
    await layerInput(file, { ...options, signal: context.signal }),
    {},
  );
  const firstBytes = async ({ offset, length }: LayoutRange): Promise<string> => {
    const bytes = Buffer.alloc(Math.min(length, SHOWN_BYTES));
    await readExactly(source, bytes, offset);
    return bytes.toString('hex');
  };
  try {
    const writer =
      format === 'people' ? new RangeTable(context, isHex) : new RangeList(context, format);
    let status: ExitStatus = CLEAN;
    let isAnyListed = false;
    try {
      for await (const range of fileLayout(source, { signal: context.signal })) {
        isAnyListed = true;
        if (range.error !== undefined) status = strongest(status, statusOfCode(range.error.code));
        await writer.range(range, isHex ? await firstBytes(range) : undefined);
      }
    } finally {
      // The ranges before an error are shown.
      if (isAnyListed) await writer.end();
    }
    return status;
  } finally {
    await close();
  }
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

/** A tree: each part of the file, with its ranges below it. */
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
