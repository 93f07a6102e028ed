/** `dump`: every entry in index order, with damage shown in its place. */
import { throwIfAborted } from '../../errors.ts';
import { type Key, type KeyRange, maximumKey, minimumKey } from '../../layers/key.ts';
import type { EntryOptions } from '../../layers/layer-file/layer-reader.ts';
import type { SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
import { type Lsn, type LsnRange, MAXIMUM_LSN } from '../../layers/lsn.ts';
import type { Context, Format } from '../context.ts';
import { dumpItems, LooseDigest, printsContents, type SalvagedForDump } from '../dump-items.ts';
import { createDumpWriter, type DumpWriter } from '../dump-writer.ts';
import { CLEAN, type ExitStatus, statusOfCode, strongest } from '../exit-status.ts';
import { openForSalvage, type ReadLimits, warnOfSalvaged } from '../open-layer.ts';
import type { ValuesMode } from '../values-mode.ts';

export interface DumpOptions extends ReadLimits {
  readonly file: string;
  readonly format: Format;
  readonly values: ValuesMode;
  readonly keyStart?: Key | undefined;
  readonly keyEnd?: Key | undefined;
  readonly lsnStart?: Lsn | undefined;
  readonly lsnEnd?: Lsn | undefined;
  /** Lines. */
  readonly limit?: number | undefined;
}

export async function dump(context: Context, options: DumpOptions): Promise<ExitStatus> {
  await using reader = await openForSalvage(options.file, options);
  const writer = createDumpWriter(context.stdout, { ...options, kind: reader.summary.kind });
  const status = await writeItems(context, { reader, writer, options });
  await writer.end();
  return status;
}

async function writeItems(
  context: Context,
  { reader, writer, options }: { reader: SalvageReader; writer: DumpWriter; options: DumpOptions },
): Promise<ExitStatus> {
  const { file, limit = Number.POSITIVE_INFINITY } = options;
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
  runs: for await (const run of dumpItems(items, layer)) {
    throwIfAborted(context.signal, file);
    if (lineCount === 0) warnOfSalvaged(context, { file, reader });
    for (const item of run) {
      if (item.kind === 'entry') offset = item.shown.columns.offsets[item.shown.index] ?? 0;
      else if (item.kind === 'blob') offset = item.blob.offset;
      else status = strongest(status, statusOfCode(item.error.code));
      const written = writer.item(item);
      if (written !== undefined) await written;
      lineCount += 1;
      if (lineCount === limit) break runs;
    }
    progress?.update({ done: offset, total: reader.size });
  }
  progress?.finish();
  if (lineCount === 0) warnOfSalvaged(context, { file, reader });
  return status;
}

/** Undefined where the ranges leave nothing. */
function selectItems(
  reader: SalvageReader,
  options: DumpOptions,
  digest: LooseDigest,
): AsyncIterable<SalvagedForDump> | undefined {
  const { keyStart, keyEnd, lsnStart, lsnEnd } = options;
  const onLoosePiece = (offset: number, piece: Uint8Array) => digest.add(offset, piece);
  const salvage = (range: EntryOptions) =>
    printsContents(options.values)
      ? reader.salvageBatches(range)
      : reader.salvageStreamed({ ...range, onLoosePiece });
  const keyRange: KeyRange | undefined =
    keyStart === undefined && keyEnd === undefined
      ? undefined
      : { start: keyStart ?? minimumKey(), end: keyEnd ?? maximumKey() };
  if (keyRange !== undefined && Buffer.compare(keyRange.start, keyRange.end) >= 0) return undefined;
  if (reader.summary.kind === 'image') {
    const { lsn } = reader.summary;
    const isInside = lsn >= (lsnStart ?? 0n) && (lsnEnd === undefined || lsn < lsnEnd);
    return isInside ? salvage({ keyRange }) : undefined;
  }
  const lsnRange: LsnRange | undefined =
    lsnStart === undefined && lsnEnd === undefined
      ? undefined
      : { start: lsnStart ?? 0n, end: lsnEnd ?? MAXIMUM_LSN };
  if (lsnRange !== undefined && lsnRange.start >= lsnRange.end) return undefined;
  return salvage({ keyRange, lsnRange });
}
