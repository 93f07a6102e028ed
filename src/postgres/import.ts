/**
 * Import: the relations of a Postgres data directory become one image layer.
 *
 * For each database, in key order: its relation map, then of every fork of every relation all
 * pages and the size. The layer's key range reaches from the first of these keys to right above
 * the last, because an image layer answers for every key in its range. Pages go as they are on
 * disk, checksums included; one that a server never wrote is all zero.
 *
 * Source: Neon pageserver/src/import_datadir.rs, which also stores most of what is left out here.
 */

import { StorageError, throwIfAborted, withOutcome } from '../errors.ts';
import { ImageLayerWriter } from '../layers/image-layer/writer.ts';
import { compareKeys, type Key, type KeyRange, nextKey } from '../layers/key.ts';
import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
import type { Lsn } from '../layers/lsn.ts';
import { absolutePath } from '../virtual-file/absolute-path.ts';
import { OpenFiles } from '../virtual-file/open-files.ts';
import type { Compression } from '../zstd/compression.ts';
import type { ControlFile } from './control-file.ts';
import { checkAtRest, checkUnchanged, readControlFile } from './data-directory.ts';
import { relationBlockKey, relationMapKey, relationSizeKey } from './key-mapping.ts';
import { PAGE_SIZE } from './page.ts';
import {
  findRelationFiles,
  type LeftOutFile,
  type RelationFiles,
  type RelationFork,
  type RelationMapFile,
} from './relation-files.ts';
import { readMapFile, readSegmentPages } from './relation-reading.ts';
import { encodeRelationSize } from './relation-size.ts';

/** For the help text of a command that imports. */
export const NOT_IMPORTED = `\
Imported are the relation files of all databases and tablespaces (every fork) and the relation
maps (pg_filenode.map). Not imported: relation and database directories, transaction status
(pg_xact, pg_multixact, pg_subtrans, pg_commit_ts), two-phase files, the control file and the
checkpoint, replication slots and origins, WAL, statistics, configuration, and relations that
are private to a session.`;

export interface ImportOptions {
  readonly dataDirectory: string;
  readonly outDirectory: string;
  /** 32 hex digits each. */
  readonly tenantId: string;
  readonly timelineId: string;
  /** LSN of the layer; `auto` takes that of the latest checkpoint. */
  readonly lsn: Lsn | 'auto';
  /** Import even a directory that is not at rest; its pages need not fit together then. */
  readonly allowUnclean?: boolean | undefined;
  readonly compression?: Compression | undefined;
  readonly generation?: string | undefined;
  readonly openFiles?: OpenFiles | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
}

export interface ImportedLayer extends FinishedLayer {
  readonly lsn: Lsn;
  readonly keyRange: KeyRange;
  readonly control: ControlFile;
  readonly forkCount: number;
  readonly pageCount: number;
  readonly mapCount: number;
  /** Names in the relations' directories that were not imported. */
  readonly leftOut: readonly LeftOutFile[];
}

/**
 * Writes one image layer with all relations of the cluster; memory does not grow with its size.
 *
 * Requires: a cluster of Postgres 14 to 17 with 8,192-byte pages, shut down.
 * Throws: `invalid-input` (not shut down cleanly, running, changed while it was read, no such
 * kind of directory), `not-found`, `truncated`, `corrupt`, `unsupported-version`, `exists` (the
 * layer is there already), `aborted`, `io`, `sync-failed`; `outcome` tells what is on disk. Unless
 * that is `durable` or `in-doubt`, nothing is left in the out directory.
 * Durability: the layer survives a crash once the promise resolves.
 */
export async function importPgdata(options: ImportOptions): Promise<ImportedLayer> {
  try {
    return await writeImport(options);
  } catch (error) {
    const { openFiles = OpenFiles.shared() } = options;
    throw openFiles.noteError(withOutcome(error, 'not-applied'));
  }
}

async function writeImport(options: ImportOptions): Promise<ImportedLayer> {
  const { openFiles = OpenFiles.shared() } = options;
  throwIfAborted(options.signal, options.dataDirectory);
  const dataDirectory = absolutePath(options.dataDirectory);
  const outDirectory = absolutePath(options.outDirectory);
  const control = await readControlFile(dataDirectory, openFiles);
  if (options.allowUnclean !== true) await checkAtRest(dataDirectory, control, openFiles);
  const files = await findRelationFiles({ dataDirectory, ...control }, openFiles.fileSystem);
  const sources = sortSources(files);
  const keyRange = keyRangeOf(sources, dataDirectory);
  const lsn = options.lsn === 'auto' ? control.checkpointLsn : options.lsn;

  const writer = await ImageLayerWriter.create({
    directory: outDirectory,
    tenantId: options.tenantId,
    timelineId: options.timelineId,
    keyRange,
    lsn,
    generation: options.generation,
    compression: options.compression,
    openFiles,
    signal: options.signal,
  });
  try {
    await putSources(writer, sources, { ...options, openFiles });
    await checkUnchanged(dataDirectory, control, openFiles);
    const layer = await writer.finish();
    const pageCount = files.forks.reduce((sum, fork) => sum + fork.pageCount, 0);
    const { forks, maps, leftOut } = files;
    const counts = { forkCount: forks.length, pageCount, mapCount: maps.length };
    return { ...layer, lsn, keyRange, control, ...counts, leftOut };
  } catch (error) {
    // The first error counts. A temporary that cannot be removed is removed as a leftover.
    await Promise.allSettled([writer.abandon()]);
    throw error;
  }
}

/** One relation map or one fork: a run of keys that no other source reaches into. */
type Source =
  | { readonly kind: 'map'; readonly map: RelationMapFile; readonly lastKey: Key }
  | { readonly kind: 'fork'; readonly fork: RelationFork; readonly lastKey: Key };

function sortSources({ forks, maps }: RelationFiles): Source[] {
  const sources: Source[] = [
    ...maps.map((map): Source => ({ kind: 'map', map, lastKey: relationMapKey(map) })),
    ...forks.map((fork): Source => ({ kind: 'fork', fork, lastKey: relationSizeKey(fork) })),
  ];
  return sources.sort((left, right) => compareKeys(left.lastKey, right.lastKey));
}

function keyRangeOf(sources: readonly Source[], dataDirectory: string): KeyRange {
  const first = sources[0];
  const last = sources.at(-1);
  if (first === undefined || last === undefined) {
    throw new StorageError('empty', {
      what: 'data directory without relations',
      path: dataDirectory,
    });
  }
  return { start: firstKeyOf(first), end: nextKey(last.lastKey) };
}

function firstKeyOf(source: Source): Key {
  if (source.kind === 'map' || source.fork.pageCount === 0) return source.lastKey;
  return relationBlockKey({ ...source.fork, blkno: 0 });
}

interface PutOptions {
  readonly openFiles: OpenFiles;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
}

async function putSources(
  writer: ImageLayerWriter,
  sources: readonly Source[],
  options: PutOptions,
): Promise<void> {
  const { openFiles, signal, onProgress } = options;
  const bytesTotal = sources.reduce((sum, source) => sum + sizeOf(source), 0);
  let bytesDone = 0;
  const report = (byteCount: number): void => {
    bytesDone += byteCount;
    onProgress?.(bytesDone, bytesTotal);
  };
  for (const source of sources) {
    throwIfAborted(signal);
    if (source.kind === 'map') {
      await writer.put(source.lastKey, await readMapFile(source.map, openFiles));
      report(source.map.size);
    } else {
      await putFork(writer, source.fork, { openFiles, signal, report });
      await writer.put(source.lastKey, encodeRelationSize(source.fork.pageCount));
    }
  }
}

async function putFork(
  writer: ImageLayerWriter,
  fork: RelationFork,
  options: {
    readonly openFiles: OpenFiles;
    readonly signal: AbortSignal | undefined;
    readonly report: (byteCount: number) => void;
  },
): Promise<void> {
  let blkno = 0;
  for (const segment of fork.segments) {
    for await (const pages of readSegmentPages(segment, options)) {
      for (let offset = 0; offset < pages.length; offset += PAGE_SIZE) {
        const page = pages.subarray(offset, offset + PAGE_SIZE);
        const written = writer.put(relationBlockKey({ ...fork, blkno }), page);
        if (written !== undefined) await written;
        blkno += 1;
      }
      options.report(pages.length);
    }
  }
}

function sizeOf(source: Source): number {
  return source.kind === 'map' ? source.map.size : source.fork.pageCount * PAGE_SIZE;
}
