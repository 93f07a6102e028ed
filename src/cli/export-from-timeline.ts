/** `export page` from a timeline: the page as a pageserver would read it, or the input of a redo process for it. */
import { StorageError } from '../errors.ts';
import { formatKey, type Key } from '../layers/key.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import type { PageResult } from '../timeline/read-page.ts';
import type { Context } from './context.ts';
import { openSource, type SourceOptions, warnOfCutoff } from './open-source.ts';
import { startRedo } from './redo-program.ts';

export interface TimelineExport {
  readonly source: string;
  readonly key: Key;
  /** Undefined means the newest. */
  readonly lsn: Lsn | undefined;
  /** Takes the messages of the wal-redo pipe. */
  readonly onRedoInput?: ((messages: Uint8Array) => Promise<void>) | undefined;
  /** A program that speaks the protocol of that pipe. */
  readonly redoProgram?: string | undefined;
}

export type ExportedPage =
  | { readonly kind: 'page'; readonly page: Uint8Array; readonly lsn: Lsn }
  | { readonly kind: 'absent'; readonly error: StorageError };

/**
 * Reads the page. Throws `no-base` and `needs-redo` for a page that cannot be built, after writing the messages for its
 * redo if requested; and as `readPage`.
 */
export async function readForExport(
  context: Context,
  request: TimelineExport,
  options: SourceOptions,
): Promise<ExportedPage> {
  const { source, key, redoProgram, onRedoInput } = request;
  const { signal } = context;
  await using timeline = await openSource(context, source, options);
  const lsn = request.lsn ?? timeline.lastLsn;
  warnOfCutoff(context, { timeline, lsn, source });
  const reading = { belowGcCutoff: 'read', signal } as const;
  const plain = await timeline.readPage(key, lsn, reading);
  if (onRedoInput !== undefined)
    await onRedoInput(await redoMessages(plain, timeline.facts.pgVersion));
  if (plain.kind !== 'needs-redo' || redoProgram === undefined) {
    return pageOf(plain, { source, key, lsn });
  }
  await using redo = await startRedo(redoProgram);
  return pageOf(await timeline.readPage(key, lsn, { ...reading, redo }), { source, key, lsn });
}

/** For a page that does not need redo, the input is only the page. */
async function redoMessages(
  result: PageResult,
  pgVersion: number | undefined,
): Promise<Uint8Array> {
  const { encodeRedoMessages } = await import('../timeline/wal-redo/messages.ts');
  const { redoRequestOf } = await import('../timeline/materialize.ts');
  const { reconstruction } = result;
  if (result.kind !== 'needs-redo') {
    const base = result.kind === 'page' ? result.bytes : undefined;
    const key = reconstruction?.key;
    if (base !== undefined && key !== undefined)
      return encodeRedoMessages({ key, base, records: [] });
    throw new StorageError('not-found', { what: 'there is no page for a redo process' });
  }
  const request = await redoRequestOf(result.reconstruction, { pgVersion });
  if (request !== undefined) return encodeRedoMessages(request);
  throw new StorageError('needs-redo', {
    what: "Neon's own records lie between those of Postgres: only --wal-redo can build this page",
    key: formatKey(result.reconstruction.key),
  });
}

function pageOf(
  result: PageResult,
  { source, key, lsn }: { source: string; key: Key; lsn: Lsn },
): ExportedPage {
  if (result.kind === 'page') return { kind: 'page', page: result.bytes, lsn: result.lsn ?? lsn };
  const where = { path: source, key: formatKey(key), lsn: formatLsn(lsn) };
  if (result.kind === 'missing') {
    const what = 'no value at or before this LSN';
    return { kind: 'absent', error: new StorageError('not-found', { ...where, what }) };
  }
  const { reconstruction } = result;
  const actual = `${reconstruction.records.length} records`;
  if (result.kind === 'no-base') {
    throw new StorageError('no-base', { ...where, what: 'no image to apply records to', actual });
  }
  throw new StorageError('needs-redo', {
    ...where,
    what: `${result.needed.reason}: WAL must be replayed by Postgres (--wal-redo)`,
    actual,
  });
}
