/**
 * Writes one image layer of an import: reads its files in order, checks each page, and puts the values of the shard.
 */
import { throwIfAborted } from '../../errors.ts';
import { ImageLayerWriter } from '../../layers/image-layer/writer.ts';
import type { FinishedLayer } from '../../layers/layer-file/layer-writer.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { relationBlockKey, slruBlockKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import type { PageInspector } from '../../postgres/page-inspector.ts';
import { type ReadingOptions, readSegmentPages } from '../../postgres/relation-reading.ts';
import type { RelationSegment } from '../../postgres/relation-segments.ts';
import type { Compression } from '../../zstd/compression.ts';
import type { RelationTask, SlruTask, ValueTask } from './import-plan.ts';
import { hasValue, type ImportShard, type LayerJob, ownedRuns } from './layer-jobs.ts';

/** Options of `writeLayer`. */
export interface WriteLayerOptions extends ReadingOptions {
  readonly directory: string;
  readonly tenantId: string;
  readonly timelineId: string;
  readonly lsn: Lsn;
  readonly compression: Compression | undefined;
  readonly shard: ImportShard;
  readonly inspector: PageInspector;
  /** Called with the number of bytes of pages that were read. */
  readonly onRead: (byteCount: number) => void;
}

/**
 * Writes the layer of a job under its name without a generation. After a page has been refused, no layer is made, but
 * all pages are still checked.
 *
 * @returns Undefined if a page was refused.
 * @throws As `ImageLayerWriter` and `readSegmentPages`; `out-of-range` (a page is newer than the layer).
 */
export async function writeLayer(
  job: LayerJob,
  options: WriteLayerOptions,
): Promise<FinishedLayer | undefined> {
  const { directory, tenantId, timelineId, lsn, compression, openFiles, signal } = options;
  const { keyRange } = job;
  const about = { directory, tenantId, timelineId, keyRange, lsn, compression };
  const writer = await ImageLayerWriter.create({ ...about, openFiles, signal });
  try {
    for (const task of job.tasks) {
      throwIfAborted(signal);
      if (task.kind === 'value') await putValue(writer, task, options);
      else await putPages(writer, task, options);
    }
    if (!options.inspector.isRefused) return await writer.finish();
  } catch (error) {
    // The first error is thrown. A temporary that cannot be removed now is removed later, as a leftover.
    await Promise.allSettled([writer.abandon()]);
    throw error;
  }
  await writer.abandon();
  return undefined;
}

async function putValue(
  writer: ImageLayerWriter,
  task: ValueTask,
  options: WriteLayerOptions,
): Promise<void> {
  if (!hasValue(task, options.shard) || options.inspector.isRefused) return;
  const { value } = task;
  await writer.put(task.start, 'file' in value ? await readFile(value.file, options) : value);
}

/** Reads a file that does not consist of pages as if it did. */
async function readFile(file: RelationSegment, options: ReadingOptions): Promise<Uint8Array> {
  const bytes = new Uint8Array(file.fileSize);
  let offset = 0;
  const whole = { start: 0, end: file.fileSize };
  for await (const piece of readSegmentPages(file, options, whole)) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}

async function putPages(
  writer: ImageLayerWriter,
  task: RelationTask | SlruTask,
  options: WriteLayerOptions,
): Promise<void> {
  const { inspector } = options;
  const segment = task.kind === 'relation' ? task.segment : task.file.segment;
  for (const run of ownedRuns(task, options.shard)) {
    const part = {
      start: run.firstPage * PAGE_SIZE,
      end: (run.firstPage + run.pageCount) * PAGE_SIZE,
    };
    let offset = part.start;
    for await (const pages of readSegmentPages(segment, options, part)) {
      for (let start = 0; start < pages.length; start += PAGE_SIZE, offset += PAGE_SIZE) {
        const page = pages.subarray(start, start + PAGE_SIZE);
        const pageNumber = offset / PAGE_SIZE;
        const key =
          task.kind === 'slru'
            ? slruKey(task, pageNumber)
            : inspected(task, pageNumber, page, options);
        if (inspector.isRefused) continue;
        // A promise only if the buffer is full.
        const written = writer.put(key, page);
        if (written !== undefined) await written;
      }
      options.onRead(pages.length);
    }
  }
}

function slruKey({ file }: SlruTask, blkno: number): Uint8Array {
  return slruBlockKey({ ...file, blkno });
}

/** Checks a page of a relation, and returns its key. */
function inspected(
  { fork, segment, firstBlock, firstPage }: RelationTask,
  pageNumber: number,
  page: Uint8Array,
  { inspector }: WriteLayerOptions,
): Uint8Array {
  const blkno = firstBlock + pageNumber - firstPage;
  inspector.inspect(page, { fork, blkno, path: segment.path, offset: pageNumber * PAGE_SIZE });
  return relationBlockKey({ ...fork, blkno });
}
