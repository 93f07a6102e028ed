/** The sources of an import in key order: relation maps, and the pages and size of every fork. */
import { StorageError, throwIfAborted } from '../errors.ts';
import type { ImageLayerWriter } from '../layers/image-layer/writer.ts';
import { compareKeys, type Key, type KeyRange, nextKey } from '../layers/key.ts';
import { type OnProgress, tellProgress } from '../progress.ts';
import type { LoadedMap } from './database-checks.ts';
import { relationBlockKey, relationMapKey, relationSizeKey } from './key-mapping.ts';
import { PAGE_SIZE } from './page.ts';
import type { PageInspector } from './page-inspector.ts';
import type { RelationFork } from './relation-files.ts';
import { type ReadingOptions, readSegmentPages } from './relation-reading.ts';
import { encodeRelationSize } from './relation-size.ts';

/** One relation map or one fork; the key ranges of sources do not overlap. */
export type Source =
  | { readonly kind: 'map'; readonly map: LoadedMap; readonly lastKey: Key }
  | { readonly kind: 'fork'; readonly fork: RelationFork; readonly lastKey: Key };

export function sortSources(
  forks: readonly RelationFork[],
  maps: readonly LoadedMap[],
): readonly Source[] {
  const sources: Source[] = [
    ...maps.map((map): Source => ({ kind: 'map', map, lastKey: relationMapKey(map) })),
    ...forks.map((fork): Source => ({ kind: 'fork', fork, lastKey: relationSizeKey(fork) })),
  ];
  return sources.sort((left, right) => compareKeys(left.lastKey, right.lastKey));
}

/** Returns the range from the first key to immediately after the last. Throws `empty`. */
export function keyRangeOf(sources: readonly Source[], dataDirectory: string): KeyRange {
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

interface PutOptions extends ReadingOptions {
  readonly inspector: PageInspector;
  readonly onProgress?: OnProgress | undefined;
}

/** Puts all sources. After a page was refused, the others are only inspected. */
export async function putSources(
  writer: ImageLayerWriter,
  sources: readonly Source[],
  options: PutOptions,
): Promise<void> {
  const { inspector, onProgress, ...reading } = options;
  const bytesTotal = sources.reduce((sum, source) => sum + sizeOf(source), 0);
  let bytesDone = 0;
  const report = (byteCount: number): void => {
    bytesDone += byteCount;
    tellProgress(onProgress, bytesDone, bytesTotal);
  };
  for (const source of sources) {
    throwIfAborted(reading.signal);
    if (source.kind === 'fork') {
      await putFork(writer, source.fork, { ...reading, inspector, report });
    }
    if (!inspector.isRefused) await writer.put(source.lastKey, lastValueOf(source));
    if (source.kind === 'map') report(source.map.size);
  }
}

function lastValueOf(source: Source): Uint8Array {
  return source.kind === 'map' ? source.map.bytes : encodeRelationSize(source.fork.pageCount);
}

async function putFork(
  writer: ImageLayerWriter,
  fork: RelationFork,
  options: ReadingOptions & {
    readonly inspector: PageInspector;
    readonly report: (byteCount: number) => void;
  },
): Promise<void> {
  const { inspector } = options;
  let blkno = 0;
  for (const segment of fork.segments) {
    let offset = 0;
    for await (const pages of readSegmentPages(segment, options)) {
      for (let start = 0; start < pages.length; start += PAGE_SIZE) {
        const page = pages.subarray(start, start + PAGE_SIZE);
        inspector.inspect(page, { fork, blkno, path: segment.path, offset: offset + start });
        const written = inspector.isRefused
          ? undefined
          : writer.put(relationBlockKey({ ...fork, blkno }), page);
        if (written !== undefined) await written;
        blkno += 1;
      }
      offset += pages.length;
      options.report(pages.length);
    }
  }
}

function sizeOf(source: Source): number {
  return source.kind === 'map' ? source.map.size : source.fork.pageCount * PAGE_SIZE;
}
