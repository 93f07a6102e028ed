/** What a read needs of an `index_part.json`. */
import { isStorageError, StorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';
import { timelineMetadataFromJson } from '../write-once/timeline-metadata-json.ts';

/** A layer in an index. */
export interface IndexedLayer {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** 8 hex digits; undefined for data older than generations. */
  readonly generation: string | undefined;
  /** 4 hex digits, `0000` without shards. */
  readonly shard: string;
}

export interface TimelineIndex {
  readonly layers: readonly IndexedLayer[];
  readonly diskConsistentLsn: Lsn;
  readonly latestGcCutoffLsn: Lsn;
  readonly ancestor: { readonly timelineId: string; readonly lsn: Lsn } | undefined;
  readonly pgVersion: number;
}

/** Throws `corrupt` with the path. */
export function parseTimelineIndex(bytes: Uint8Array, path: string): TimelineIndex {
  const corrupt = (what: string): StorageError => new StorageError('corrupt', { what, path });
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw corrupt('index_part.json');
  }
  const layers = Object.entries(json['layer_metadata'] ?? {}).map(([name, entry]) => {
    const { file_size: size, generation, shard } = entry as Record<string, unknown>;
    return {
      name,
      size: Number(size),
      generation:
        typeof generation === 'number' ? generation.toString(16).padStart(8, '0') : undefined,
      shard: typeof shard === 'string' ? shard : '0000',
    };
  });
  try {
    const metadata = timelineMetadataFromJson(json['metadata_bytes'] ?? json['metadata']);
    const { ancestorTimeline, ancestorLsn } = metadata;
    return {
      layers,
      diskConsistentLsn: metadata.diskConsistentLsn,
      latestGcCutoffLsn: metadata.latestGcCutoffLsn,
      ancestor:
        ancestorTimeline === null ? undefined : { timelineId: ancestorTimeline, lsn: ancestorLsn },
      pgVersion: metadata.pgVersion,
    };
  } catch (error) {
    throw isStorageError(error) ? error.with({ path }) : error;
  }
}

/** The highest generation; without one, the index that has none. */
export function newestIndexName(names: readonly string[], generation?: number): string | undefined {
  const ranked = names
    .map((name) => ({ name, rank: rankOf(name) }))
    .filter(({ rank }) => rank !== undefined && (generation === undefined || rank <= generation))
    .sort((left, right) => (right.rank ?? 0) - (left.rank ?? 0));
  return ranked[0]?.name;
}

function rankOf(name: string): number | undefined {
  const suffix = name.slice('index_part.json'.length);
  if (suffix === '') return -1;
  const generation = Number.parseInt(suffix.slice(1), 16);
  return Number.isNaN(generation) ? undefined : generation;
}
