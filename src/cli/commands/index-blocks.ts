/** `index`: every block of the B-tree. */
import { throwIfAborted } from '../../errors.ts';
import { formatKey, type Key } from '../../layers/key.ts';
import type { IndexBlock } from '../../layers/layer-file/index-listing.ts';
import { formatLsn, formatPgLsn } from '../../layers/lsn.ts';
import { shortKey } from '../../postgres/short-key.ts';
import { addCommand, addExamples, type CommandParents, type OptionValues } from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, statusOfCode, strongest } from '../exit-status.ts';
import { formatCount } from '../human.ts';
import { encodeJson } from '../json.ts';
import { ListWriter } from '../list-writer.ts';
import { REMOTE_OPTIONS } from '../remote-source.ts';
import { storageErrorJson } from '../reporter.ts';
import { formatOf, listFormat, WIDE } from '../shared-options.ts';
import { type Column, Table } from '../table.ts';

const OPTIONS = { ...listFormat('one block'), wide: WIDE, ...REMOTE_OPTIONS };
type IndexOptions = OptionValues<typeof OPTIONS>;

export function addIndex({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'index', OPTIONS)
    .description('Print every block of the B-tree index.')
    .argument('<file>', 'layer file, or its s3:// or https:// URL')
    .action((file: string, options: IndexOptions) =>
      runner((context) => index(context, file, options)),
    );
  addExamples(command, [['layerfile index FILE', 'levels, prefixes and key ranges']]);
}

export async function index(
  context: Context,
  file: string,
  options: IndexOptions,
): Promise<ExitStatus> {
  const { openForSalvage, warnOfSalvaged } = await import('../open-layer.ts');
  const format = formatOf(options);
  await using reader = await openForSalvage(file, { ...options, signal: context.signal });
  const writer =
    format === 'people'
      ? new BlockTable(context, options.wide === true)
      : new BlockList(context, format);
  const damage = reader.summaryError ?? reader.indexError;
  let status: ExitStatus = damage === undefined ? CLEAN : statusOfCode(damage.code);
  let isReported = false;
  for await (const block of reader.indexBlocks()) {
    throwIfAborted(context.signal, file);
    if (block.kind === 'damaged') {
      status = strongest(status, statusOfCode(block.error.code));
      isReported = true;
    }
    await writer.block(block);
  }
  await writer.end();
  if (damage !== undefined && !isReported) context.reporter.error(damage);
  warnOfSalvaged(context, { file, reader });
  return status;
}

class BlockList {
  readonly #list: ListWriter;

  constructor({ stdout }: Context, format: 'json' | 'ndjson') {
    this.#list = new ListWriter(stdout, format);
  }

  block(block: IndexBlock): Promise<void> | undefined {
    return this.#list.write([
      block.kind === 'damaged'
        ? encodeJson({ block: block.block, error: storageErrorJson(block.error) })
        : encodeJson({
            block: block.block,
            level: block.level,
            entries: block.entryCount,
            prefix_len: block.prefixLength,
            suffix_len: block.suffixLength,
            first_key: formatKey(block.firstKey),
            last_key: formatKey(block.lastKey),
            first_lsn: block.firstLsn === undefined ? undefined : formatLsn(block.firstLsn),
            last_lsn: block.lastLsn === undefined ? undefined : formatLsn(block.lastLsn),
          }),
    ]);
  }

  end(): Promise<void> {
    return this.#list.end();
  }
}

const LAST_ENTRY: readonly Column[] = [{ title: 'LAST KEY', style: 'cyan' }, { title: 'LSN' }];

class BlockTable {
  readonly #table: Table;
  readonly #isWide: boolean;

  constructor({ stdout }: Context, isWide: boolean) {
    this.#isWide = isWide;
    this.#table = new Table(stdout, [
      { title: 'BLOCK', align: 'right' },
      { title: 'LEVEL', align: 'right' },
      { title: 'ENTRIES', align: 'right' },
      { title: 'PREFIX', align: 'right' },
      { title: 'SUFFIX', align: 'right' },
      { title: 'FIRST KEY', style: 'cyan' },
      { title: 'LSN' },
      ...(isWide ? LAST_ENTRY : []),
    ]);
  }

  block(block: IndexBlock): Promise<void> | undefined {
    if (block.kind === 'damaged') {
      const cells = [String(block.block), '', '', '', '', `damaged: ${block.error.message}`];
      return this.#table.row({ cells, style: 'red' });
    }
    const { firstLsn, lastLsn } = block;
    return this.#table.row({
      cells: [
        formatCount(block.block),
        block.level === 0 ? 'leaf' : String(block.level),
        formatCount(block.entryCount),
        String(block.prefixLength),
        String(block.suffixLength),
        this.#keyText(block.firstKey),
        firstLsn === undefined ? '' : formatPgLsn(firstLsn),
        ...(this.#isWide
          ? [formatKey(block.lastKey), lastLsn === undefined ? '' : formatPgLsn(lastLsn)]
          : []),
      ],
    });
  }

  end(): Promise<void> {
    return this.#table.end();
  }
  #keyText(key: Key): string {
    return this.#isWide ? formatKey(key) : shortKey(key);
  }
}
