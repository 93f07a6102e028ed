/**
 * Import: the relations of a Postgres data directory become one image layer.
 *
 * For each database, in key order: its relation map, then of every fork of every relation all
 * pages and the size. The key range of the layer starts at the first of these keys and ends
 * immediately after the last, because an image layer answers for every key in its range. Pages are
 * stored as they are on disk, with checksums; one that a server never wrote is all zero.
 *
 * Source: Neon pageserver/src/import_datadir.rs, which also imports most of what is left out here.
 */

import {
  checkOpenFiles,
  checkOptions,
  checkSignal,
  checkText,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError, throwIfAborted, withOutcome } from '../errors.ts';
import { ImageLayerWriter } from '../layers/image-layer/writer.ts';
import type { KeyRange } from '../layers/key.ts';
import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
import { checkLsn, type Lsn } from '../layers/lsn.ts';
import type { OnProgress } from '../progress.ts';
import { absolutePath } from '../virtual-file/absolute-path.ts';
import { OpenFiles } from '../virtual-file/open-files.ts';
import type { Compression } from '../zstd/compression.ts';
import { checkStill, openCluster } from './cluster.ts';
import type { ControlFile } from './control-file.ts';
import { keyRangeOf, putSources, sortSources } from './import-sources.ts';
import type { LeftOutFile } from './left-out.ts';
import { PageInspector } from './page-inspector.ts';

/** The content of an import, and what it leaves out, for a help text. */
export const NOT_IMPORTED = `\
Imports the relation files of all databases and tablespaces (every fork) and the relation maps
(pg_filenode.map). Not imported: relation and database directories, transaction status
(pg_xact, pg_multixact, pg_subtrans, pg_commit_ts), two-phase files, the control file and the
checkpoint, replication slots and origins, WAL, statistics, configuration, and relations that
are private to a session.`;

/** Options of `importPgdata`. */
export interface ImportOptions {
  /** The Postgres data directory. It is only read. */
  readonly dataDirectory: string;
  /** Existing directory for the layer. */
  readonly outDirectory: string;
  /** 32 hex digits. */
  readonly tenantId: string;
  /** 32 hex digits. */
  readonly timelineId: string;
  /** LSN of the layer, above 0/0; `auto` means that of the latest checkpoint. */
  readonly lsn: Lsn | 'auto';
  /**
   * Imports a cluster that was not shut down cleanly, and pages newer than the layer. The result
   * may be inconsistent. Each sign of it becomes a warning.
   */
  readonly allowUnclean?: boolean | undefined;
  /**
   * Imports a cluster despite missing or damaged relation maps, missing tablespaces or segments, or a database of
   * another version. Each becomes a warning.
   */
  readonly allowDamaged?: boolean | undefined;
  /** Imports pages with a wrong checksum, if the cluster has checksums. */
  readonly allowBadPages?: boolean | undefined;
  /** Default: zstd level 1. */
  readonly compression?: Compression | undefined;
  /** Generation in the name of the layer: 8 hex digits. */
  readonly generation?: string | undefined;
  /** Whether to write a manifest next to the layer; see `WriteOptions`. Default false. */
  readonly manifest?: boolean | undefined;
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /** Ends the import with `aborted`; no layer is left. */
  readonly signal?: AbortSignal | undefined;
  /** Called with bytes read and bytes to read. */
  readonly onProgress?: OnProgress | undefined;
  /** Called for each page with a wrong checksum; the finding has file, offset and key. */
  readonly onBadPage?: ((finding: StorageError) => void) | undefined;
}

const IMPORT_OPTIONS: KnownOptions<ImportOptions> = {
  dataDirectory: true,
  outDirectory: true,
  tenantId: true,
  timelineId: true,
  lsn: true,
  allowUnclean: true,
  allowDamaged: true,
  allowBadPages: true,
  compression: true,
  generation: true,
  manifest: true,
  openFiles: true,
  signal: true,
  onProgress: 'function',
  onBadPage: 'function',
};

/** The layer that an import made. */
export interface ImportedLayer extends FinishedLayer {
  /** LSN of the layer. */
  readonly lsn: Lsn;
  /** Key range of the layer. */
  readonly keyRange: KeyRange;
  /** The content of pg_control. */
  readonly control: ControlFile;
  /** Relation forks in the layer. */
  readonly forkCount: number;
  /** Pages of all forks. */
  readonly pageCount: number;
  /** Relation maps in the layer. */
  readonly mapCount: number;
  /** Pages with a wrong checksum; undefined if the cluster has no checksums. */
  readonly badPageCount: number | undefined;
  /** Files of the data directory, and parts of files, that were not imported. */
  readonly leftOut: readonly LeftOutFile[];
  /** Problems that an option allowed, and those that Postgres ignores, as errors. */
  readonly warnings: readonly StorageError[];
}

/**
 * Writes one image layer with all relations of a cluster of Postgres 14 to 17 with 8,192-byte
 * pages that was shut down cleanly. Memory does not grow with the size of the cluster.
 *
 * Durability: the layer survives a crash once the promise resolves.
 *
 * @throws `invalid-input` (not shut down cleanly, running, a base backup or standby, changed during
 *   the import, an LSN of 0), `not-found` (not a data directory; a segment, tablespace or relation
 *   map is missing), `truncated`, `corrupt` (also for pages with a wrong checksum), `out-of-range`
 *   (a page is newer than the layer), `too-large`, `empty`, `unsupported-version`, `exists` (the
 *   layer exists), `aborted`, `io`, `sync-failed`. Unless `outcome` is `durable` or `in-doubt`,
 *   nothing is left in the output directory.
 * @example
 *   const layer = await importPgdata({
 *     dataDirectory: '/var/lib/postgresql/17/main',
 *     outDirectory: 'layers',
 *     tenantId: '11223344556677881122334455667788',
 *     timelineId: '99aabbccddeeff0099aabbccddeeff00',
 *     lsn: 'auto',
 *   });
 */
export async function importPgdata(options: ImportOptions): Promise<ImportedLayer> {
  checkOptions(options, IMPORT_OPTIONS);
  checkText('dataDirectory', options.dataDirectory);
  checkText('outDirectory', options.outDirectory);
  checkOpenFiles(options.openFiles);
  checkSignal(options.signal);
  if (options.lsn !== 'auto') checkLsn(options.lsn, 'lsn');
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
  const cluster = await openCluster({ ...options, openFiles });
  const { control, files, maps, objections } = cluster;
  const sources = sortSources(files.forks, maps);
  const keyRange = keyRangeOf(sources, cluster.dataDirectory);
  const lsn = options.lsn === 'auto' ? control.checkpointLsn : options.lsn;
  checkLayerLsn(lsn);
  const inspector = new PageInspector({
    lsn,
    checksums: control.checksumVersion === 0 ? 'off' : 'on',
    allowBadPages: options.allowBadPages === true,
    onBadPage: options.onBadPage,
    objections,
  });

  const writer = await ImageLayerWriter.create({
    directory: absolutePath(options.outDirectory),
    tenantId: options.tenantId,
    timelineId: options.timelineId,
    keyRange,
    lsn,
    generation: options.generation,
    manifest: options.manifest,
    compression: options.compression,
    openFiles,
    signal: options.signal,
  });
  try {
    await putSources(writer, sources, { ...options, openFiles, inspector, objections });
    inspector.end();
    await checkStill(cluster, openFiles);
    const layer = await writer.finish();
    const pageCount = files.forks.reduce((sum, fork) => sum + fork.pageCount, 0);
    const forkCount = files.forks.length;
    const { leftOut } = cluster;
    const mapCount = maps.length;
    const { badPageCount } = inspector;
    const counts = { forkCount, pageCount, mapCount, badPageCount };
    return { ...layer, lsn, keyRange, control, ...counts, leftOut, warnings: objections.warnings };
  } catch (error) {
    // The first error is thrown. A temporary that cannot be removed now is removed later, as a leftover.
    await Promise.allSettled([writer.abandon()]);
    throw error;
  }
}

/** A pageserver never reads at LSN 0: the layer would never be found. */
export function checkLayerLsn(lsn: Lsn): void {
  if (lsn !== 0n) return;
  throw new StorageError('invalid-input', {
    what: 'LSN of the layer',
    expected: 'above 0/0',
    actual: '0/0',
  });
}
