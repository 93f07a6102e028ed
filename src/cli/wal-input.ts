/**
 * What commands that read WAL share: the source that their arguments name (files, directories, objects, and bytes), and
 * the note about where the WAL ends.
 */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { StorageError, tooLarge } from '../errors.ts';
import { formatPgLsn } from '../layers/lsn.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import { MAXIMUM_SEGMENT_SIZE } from '../wal/page-format.ts';
import { parseWalFileName } from '../wal/segment-name.ts';
import type { WalEnd } from '../wal/wal-end.ts';
import {
  type WalSource,
  walBytes,
  walDirectory,
  walFiles,
  walObject,
  walObjects,
} from '../wal/wal-source.ts';
import type { Context } from './context.ts';
import { isUrl, type RemoteOptions, remotePlace } from './remote-source.ts';
import type { Reporter } from './reporter.ts';

const STANDARD_INPUT = '-';

export interface WalInput extends WalSource {
  /** Whether there may be more segments later: in a directory or below a prefix. */
  readonly canGrow: boolean;
}

/**
 * The source for all arguments together. Segments of one timeline may come from several of them.
 *
 * Throws: `not-found` and `io` for a path; `usage` for a URL without a bucket, for a terminal as standard
 * input, and for standard input twice; `too-large` for more standard input than a segment has.
 */
export async function walInput(
  context: Context,
  paths: readonly string[],
  options: RemoteOptions,
): Promise<WalInput> {
  if (paths.indexOf(STANDARD_INPUT) !== paths.lastIndexOf(STANDARD_INPUT)) {
    throw new StorageError('usage', {
      what: 'standard input is named twice, but can be read only once',
    });
  }
  const sources: WalInput[] = [];
  for (const path of paths) sources.push(await sourceOf(context, path, options));
  const [only] = sources;
  if (only !== undefined && sources.length === 1) return only;
  return {
    path: paths.join(', '),
    canGrow: sources.some((source) => source.canGrow),
    list: async (signal) => {
      const files = await Promise.all(sources.map((source) => source.list(signal)));
      return files.flat();
    },
  };
}

/** Only for people, and only if the WAL itself has ended: at the end of a range, more may follow. */
export function noteEndOfWal(reporter: Reporter, end: WalEnd | undefined): void {
  if (end?.kind !== 'end-of-wal') return;
  const reason = end.error === undefined ? '' : `: ${end.error.message}`;
  reporter.note(`the WAL ends at ${formatPgLsn(end.lsn)}${reason}`);
}

async function sourceOf(context: Context, path: string, options: RemoteOptions): Promise<WalInput> {
  if (path === STANDARD_INPUT) return fixed(walBytes([{ bytes: await standardInput(context) }]));
  if (!isUrl(path)) {
    return (await isDirectory(path)) ? growing(walDirectory(path)) : fixed(walFiles([path]));
  }
  const { store, key, canList } = await remotePlace(path, options);
  const isObject = !canList || parseWalFileName(basename(key)) !== undefined;
  return isObject ? fixed(walObject(store, key)) : growing(walObjects(store, key));
}

function fixed(source: WalSource): WalInput {
  return { ...source, canGrow: false };
}

function growing(source: WalSource): WalInput {
  return { ...source, canGrow: true };
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw fromNodeError('look up', path, error);
  }
}

/** One segment. */
async function standardInput({ stdin, stdinIsTerminal }: Context): Promise<Uint8Array> {
  if (stdinIsTerminal) {
    throw new StorageError('usage', {
      what: 'standard input is a terminal: pipe a segment into it',
    });
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stdin()) {
    length += chunk.length;
    if (length > MAXIMUM_SEGMENT_SIZE) {
      throw tooLarge('WAL segment on standard input', {
        maximum: MAXIMUM_SEGMENT_SIZE,
        actual: length,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
