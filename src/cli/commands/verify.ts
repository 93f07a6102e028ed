/** `verify`: reads every block and every blob of files and of the layers below directories. */
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { isStorageError, StorageError, throwIfAborted } from '../../errors.ts';
import type { FoundFile } from '../../layers/find-layers.ts';
import type { LayerReport } from '../../layers/findings.ts';
import type { PageCounts } from '../../postgres/page-checks.ts';
import type { OnProgress } from '../../progress.ts';
import type { CheckPool } from '../../timeline/check-pool.ts';
import type { LayerVerdict } from '../../timeline/layer-verdict.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
} from '../command.ts';
import type { Context } from '../context.ts';
import {
  CLEAN,
  type ExitStatus,
  FINDINGS,
  statusOfError,
  strongest,
  UNKNOWN_VERSION,
} from '../exit-status.ts';
import { formatCount, formatNumberOf } from '../human.ts';
import type { NamedPlaces } from '../named-files.ts';
import type { Progress } from '../progress.ts';
import { REMOTE_OPTIONS } from '../remote-source.ts';
import { createReportWriter } from '../report-writer.ts';
import {
  findingOptions,
  formatOf,
  JOBS,
  limitOptions,
  listFormat,
  READ_LIMITS,
} from '../shared-options.ts';
import { shownPath } from '../shown-path.ts';

const OPTIONS = {
  ...listFormat('one file'),
  ...findingOptions('file'),
  pageChecksums: flag('--page-checksums', 'also check the checksums of Postgres pages; see below'),
  ...JOBS,
  ...READ_LIMITS,
  ...REMOTE_OPTIONS,
};
type VerifyOptions = OptionValues<typeof OPTIONS>;

export function addVerify({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'verify', OPTIONS)
    .description('Read every block and every blob, and report all damage.')
    .argument(
      '<path...>',
      'layer files, directories to search, URLs of layers, or s3://BUCKET/PREFIX',
    )
    .action((paths: string[], options: VerifyOptions) =>
      runner((context) => verify(context, paths, options)),
    );
  addExamples(command, [
    ['layerfile verify FILE', 'one file'],
    ['layerfile verify tenants --ndjson -j 4', 'all layers below a directory, four at a time'],
    ['layerfile verify s3://BUCKET/PREFIX --ndjson', 'all layers below a prefix'],
    ['layerfile verify FILE --page-checksums', 'a layer of an imported cluster with checksums'],
  ]);
  command.addHelpText(
    'after',
    `
--page-checksums finds a flipped bit inside a page, in layers of a cluster with checksums. A
pageserver does not maintain them: a page that it built from WAL has an outdated checksum or none, so
a mismatch in its own layers is not damage. Pages without a checksum are counted.`,
  );
}

/** Throws `usage` if standard output is one of the layers. */
export async function verify(
  context: Context,
  paths: readonly string[],
  options: VerifyOptions,
): Promise<ExitStatus> {
  const { foundLayers } = await import('../found-layers.ts');
  const { inOrder } = await import('../../timeline/in-order.ts');
  if (context.stdoutIsFile) await refuseLayersAsOutput(paths);
  const writer = createReportWriter(
    context.stdout,
    formatOf(options),
    options.quiet ? 'quiet' : 'all',
  );
  let status: ExitStatus = CLEAN;
  const pages = { good: 0, bad: 0, new: 0, without: 0 };
  let fileCount = 0;
  let otherCount = 0;
  const wanted = options.jobs ?? availableParallelism();
  const { items, isAlone } = await readAhead(foundLayers(paths, options, context.signal));
  // A single layer is read on the main thread.
  const jobs = isAlone ? 1 : wanted;
  await using verifier = await Verifier.create(context, options, jobs);
  const look = (item: FoundFile) => verifier.look(item);
  for await (const { found, verdict } of inOrder(items, verifier.limit, look)) {
    throwIfAborted(context.signal);
    if (verdict !== undefined) {
      fileCount += 1;
      if (verdict.kind === 'report') {
        await writer.report(verdict.report);
        addPages(pages, verdict.pages);
        status = strongest(status, statusOfReport(verdict.report));
      } else {
        const error = new StorageError(verdict.error.code, verdict.error.details);
        context.reporter.error(error);
        status = strongest(status, statusOfError(error));
      }
      continue;
    }
    if (found.kind === 'other') otherCount += 1;
    const reason = NOT_READ.get(found.kind);
    if (reason !== undefined) context.reporter.warning(reason, found.path);
    if (found.kind === 'failed') {
      context.reporter.error(found.error);
      status = strongest(status, statusOfError(found.error));
    }
  }
  if (otherCount > 0) {
    const others = formatNumberOf(otherCount, 'other file', 'other files');
    context.reporter.warning(`${others} without the name of a layer, not read`);
  }
  if (fileCount === 0 && status === CLEAN) context.reporter.warning('no layer found');
  if (options.pageChecksums) notePages(context, pages);
  await writer.end(status);
  if (status === FINDINGS) {
    context.reporter.note(
      'layerfile salvage FILE --out DIR makes a valid layer of what is left of one',
    );
  }
  return status;
}

/** Maximum number of items that are read ahead. */
const MAXIMUM_AHEAD = 1000;

/** Reads until there are two layers, to know whether there is only one. */
async function readAhead(
  found: AsyncGenerator<FoundFile>,
): Promise<{ items: AsyncGenerator<FoundFile>; isAlone: boolean }> {
  const first: FoundFile[] = [];
  let layerCount = 0;
  while (layerCount < 2 && first.length < MAXIMUM_AHEAD) {
    const { value, done } = await found.next();
    if (done) return { items: joined(first, found), isAlone: true };
    first.push(value);
    if (value.kind === 'layer') layerCount += 1;
  }
  return { items: joined(first, found), isAlone: false };
}

async function* joined<T>(first: readonly T[], others: AsyncIterable<T>): AsyncGenerator<T> {
  yield* first;
  yield* others;
}

/** Runs before anything is printed: the lines of one layer must not end up in another. */
async function refuseLayersAsOutput(paths: readonly string[]): Promise<void> {
  const { findLayers } = await import('../../layers/find-layers.ts');
  const { refuseInputAsOutput, STANDARD_OUTPUT } = await import('../output-paths.ts');
  for await (const { kind, path } of findLayers(paths)) {
    if (kind === 'layer') await refuseInputAsOutput(path, STANDARD_OUTPUT);
  }
}

function notePages({ reporter }: Context, counts: PageCounts): void {
  const words = [
    `${formatCount(counts.good)} good`,
    `${formatCount(counts.bad)} bad`,
    `${formatCount(counts.without)} without one`,
    `${formatCount(counts.new)} new`,
  ];
  reporter.note(`page checksums: ${words.join(', ')}`);
}

/** Why a file that is named in a warning is not read. */
const NOT_READ: ReadonlyMap<FoundFile['kind'], string> = new Map([
  ['temporary', 'left by a writer that did not finish, not read'],
  ['download', 'a download that did not finish, not read'],
  ['directory-link', 'a link to a directory, not followed'],
]);

interface Looked {
  readonly found: FoundFile;
  /** Undefined for anything that is not a layer. */
  readonly verdict: LayerVerdict | undefined;
}

/**
 * Verifies the layers among the found files; for a layer that cannot be read, the verdict says why.
 */
class Verifier {
  readonly #context: Context;
  readonly #options: VerifyOptions;
  readonly #places: NamedPlaces;
  readonly #pool: CheckPool;
  /** Progress of all layers together, if several are read at a time. */
  readonly #progress: Progress | undefined;
  /** Number of layers at a time. */
  readonly limit: number;
  #bytes = 0;

  static async create(context: Context, options: VerifyOptions, jobs: number): Promise<Verifier> {
    const { NamedPlaces } = await import('../named-files.ts');
    const { CheckPool, LAYERS_PER_THREAD } = await import('../../timeline/check-pool.ts');
    const places = new NamedPlaces(options);
    const pool = new CheckPool({ threadCount: jobs, signal: context.signal });
    const progress = jobs === 1 ? undefined : context.reporter.progress({ label: 'verify' });
    const limit = jobs === 1 ? 1 : jobs * LAYERS_PER_THREAD;
    return new Verifier(context, options, { places, pool, progress, limit });
  }

  private constructor(
    context: Context,
    options: VerifyOptions,
    parts: {
      places: NamedPlaces;
      pool: CheckPool;
      progress: Progress | undefined;
      limit: number;
    },
  ) {
    this.#context = context;
    this.#options = options;
    this.#places = parts.places;
    this.#pool = parts.pool;
    this.#progress = parts.progress;
    this.limit = parts.limit;
  }

  async look(found: FoundFile): Promise<Looked> {
    if (found.kind !== 'layer') return { found, verdict: undefined };
    const detail = basename(shownPath(found.path));
    const progress = this.#progress ?? this.#context.reporter.progress({ label: 'verify' });
    try {
      const verdict = await this.#verdict(found.path, (done, total) => {
        if (this.#progress === undefined) progress.update({ done, total, detail });
      });
      if (verdict.kind === 'report') this.#bytes += verdict.report.bytes;
      if (this.#progress !== undefined) progress.update({ done: this.#bytes, detail });
      return { found, verdict };
    } finally {
      if (this.#progress === undefined) progress.finish();
    }
  }

  async #verdict(path: string, onProgress: OnProgress): Promise<LayerVerdict> {
    const { maxFindings: maximumFindings, pageChecksums } = this.#options;
    const limits = { ...limitOptions(this.#options), maximumFindings };
    const verification = {
      ...limits,
      pageChecksums: pageChecksums ? ('check' as const) : ('ignore' as const),
    };
    try {
      const place = await this.#places.placeOf(path);
      return await this.#pool.verify(place, verification, onProgress);
    } catch (error) {
      const isOfLayer = isStorageError(error) && !isStorageError(error, 'aborted', 'closed');
      if (!isOfLayer) throw error;
      return { kind: 'failed', error: error.toPlain() };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#progress?.finish();
    await this.#pool.close();
  }
}

function addPages(
  sum: { -readonly [State in keyof PageCounts]: number },
  pages: PageCounts | undefined,
): void {
  if (pages === undefined) return;
  sum.good += pages.good;
  sum.bad += pages.bad;
  sum.new += pages.new;
  sum.without += pages.without;
}

function statusOfReport(report: LayerReport): ExitStatus {
  if (report.ok) return CLEAN;
  return report.codes.includes('unsupported-version') ? UNKNOWN_VERSION : FINDINGS;
}
