/** `import pgdata`: an image layer of a Postgres data directory. */
import { join } from 'node:path';
import { isStorageError, type StorageError } from '../../errors.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { type ImportedLayer, importPgdata } from '../../postgres/import.ts';
import type { LeftOutFile } from '../../postgres/left-out.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { formatNumberOf } from '../human.ts';
import { type CompressionFlags, compressionOf, writeLayerLine } from '../layer-output.ts';
import { checkOutputDirectory, entriesOf, refuseOutputWithin } from '../output-paths.ts';
import type { Reporter } from '../reporter.ts';

export interface ImportPostgresOptions extends CompressionFlags {
  readonly directory: string;
  readonly out: string;
  /** 32 lower-case hex digits each. */
  readonly tenant: string;
  readonly timeline: string;
  readonly lsn: Lsn | 'auto';
  readonly generation?: string | undefined;
  readonly allowUnclean?: boolean | undefined;
  readonly allowDamaged?: boolean | undefined;
  readonly allowBadPages?: boolean | undefined;
}

export async function importPostgres(
  context: Context,
  options: ImportPostgresOptions,
): Promise<ExitStatus> {
  const { reporter } = context;
  await refuseOutputWithin(await inputDirectories(options.directory), options.out);
  await checkOutputDirectory(options.out);
  const progress = reporter.progress({ label: 'import' });
  const badPages = new Listing(reporter, 'bad page', 'bad pages');
  try {
    const layer = await importPgdata({
      dataDirectory: options.directory,
      outDirectory: options.out,
      tenantId: options.tenant,
      timelineId: options.timeline,
      lsn: options.lsn,
      allowUnclean: options.allowUnclean,
      allowDamaged: options.allowDamaged,
      allowBadPages: options.allowBadPages,
      compression: compressionOf(options),
      generation: options.generation,
      signal: context.signal,
      onProgress: (done, total) => progress.update({ done, total }),
      onBadPage: (finding) => badPages.add(finding),
    });
    progress.finish();
    badPages.end();
    reportOutcome(reporter, layer);
    await writeLayerLine(context.stdout, layer, {
      left_out: countsOf(layer.leftOut, jsonNameOf),
      bad_pages: layer.badPageCount,
    });
    return CLEAN;
  } catch (error) {
    badPages.end();
    // What is wrong is the directory, such as one that was not shut down, not how it was named.
    if (!isStorageError(error, 'invalid-input')) throw error;
    reporter.error(error);
    return FINDINGS;
  } finally {
    progress.finish();
  }
}

/** The data directory, and what its links may lead to. */
async function inputDirectories(directory: string): Promise<string[]> {
  const tablespaces = await entriesOf(join(directory, 'pg_tblspc'));
  return [directory, join(directory, 'pg_wal'), ...tablespaces];
}

function reportOutcome(reporter: Reporter, layer: ImportedLayer): void {
  const warnings = new Listing(reporter, 'warning', 'warnings');
  for (const warning of layer.warnings) warnings.add(warning);
  warnings.end();
  const unknown = new Listing(reporter, 'file', 'files');
  for (const { path, reason } of layer.leftOut) {
    if (reason === 'unknown name') unknown.addText('left out: not the name of a relation', path);
  }
  unknown.end();
  const { pageCount, forkCount } = layer;
  const pages = formatNumberOf(pageCount, 'page', 'pages');
  reporter.note(`${pages} of ${formatNumberOf(forkCount, 'fork', 'forks')}`);
  const counts = Object.entries(countsOf(layer.leftOut, (reason) => reason));
  if (counts.length === 0) return;
  const words = counts.map(([reason, count]) => `${reason} (${count})`).join(', ');
  reporter.note(`left out, by reason: ${words}`);
}

function jsonNameOf(reason: string): string {
  return reason.toLowerCase().replaceAll(/\W/g, '_');
}

function countsOf(
  leftOut: readonly LeftOutFile[],
  nameOf: (reason: string) => string,
): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { reason } of leftOut) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const ordered = [...counts].sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(ordered.map(([reason, count]) => [nameOf(reason), count]));
}

const MAXIMUM_LISTED = 100;

/** Warnings, the first hundred in full: a directory may have millions of them. */
class Listing {
  readonly #reporter: Reporter;
  readonly #one: string;
  readonly #many: string;
  #count = 0;

  constructor(reporter: Reporter, one: string, many: string) {
    this.#reporter = reporter;
    this.#one = one;
    this.#many = many;
  }

  add(error: StorageError): void {
    this.addText(error.with({ path: undefined }).message, error.path);
  }

  addText(message: string, path: string | undefined): void {
    this.#count += 1;
    if (this.#count <= MAXIMUM_LISTED) this.#reporter.warning(message, path);
  }

  end(): void {
    const hidden = this.#count - MAXIMUM_LISTED;
    if (hidden <= 0) return;
    this.#reporter.warning(formatNumberOf(hidden, `more ${this.#one}`, `more ${this.#many}`));
  }
}
