/** `import pgdata`: an image layer of a Postgres data directory. */
import { isStorageError } from '../../errors.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { importPgdata } from '../../postgres/import.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { formatNumberOf } from '../human.ts';
import { type CompressionFlags, compressionOf, writeLayerLine } from '../layer-output.ts';

export interface ImportPostgresOptions extends CompressionFlags {
  readonly directory: string;
  readonly out: string;
  /** 32 lower-case hex digits each. */
  readonly tenant: string;
  readonly timeline: string;
  readonly lsn: Lsn | 'auto';
  readonly generation?: string | undefined;
  readonly allowUnclean?: boolean | undefined;
}

export async function importPostgres(
  context: Context,
  options: ImportPostgresOptions,
): Promise<ExitStatus> {
  const progress = context.reporter.progress({ label: 'import' });
  try {
    const layer = await importPgdata({
      dataDirectory: options.directory,
      outDirectory: options.out,
      tenantId: options.tenant,
      timelineId: options.timeline,
      lsn: options.lsn,
      allowUnclean: options.allowUnclean,
      compression: compressionOf(options),
      generation: options.generation,
      signal: context.signal,
      onProgress: (done, total) => progress.update({ done, total }),
    });
    progress.finish();
    const { pageCount, forkCount } = layer;
    const pages = formatNumberOf(pageCount, 'page', 'pages');
    context.reporter.note(`${pages} of ${formatNumberOf(forkCount, 'fork', 'forks')}`);
    await writeLayerLine(context.stdout, layer);
    return CLEAN;
  } catch (error) {
    // What is wrong is the directory, such as one that was not shut down, not how it was named.
    if (!isStorageError(error, 'invalid-input')) throw error;
    context.reporter.error(error);
    return FINDINGS;
  } finally {
    progress.finish();
  }
}
