/** What a map shows of an `index_part.json`. */
import { StorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';
import type { Snapshot, SnapshotLayer } from '../map/snapshot.ts';
import { timelineMetadataFromJson } from '../write-once/timeline-metadata-json.ts';

const INDEX_NAME = /^index_part\.json(?:-([0-9a-fA-F]{1,8}))?$/;

/** An index as a snapshot, and where its timeline branched off. */
export interface IndexSnapshot {
  readonly snapshot: Snapshot;
  readonly ancestor: { readonly timelineId: string; readonly lsn: Lsn } | undefined;
}

/** Whether a file has the name of an index, of whatever generation. */
export function isIndexName(name: string): boolean {
  return INDEX_NAME.test(name);
}

/** Names of indexes, the one without a generation first. */
export function orderOfIndexes(names: readonly string[]): string[] {
  return [...names].sort((left, right) => generationOf(left) - generationOf(right));
}

/** The index that counts without a pageserver's generation: the highest. */
export function newestIndex(names: readonly string[]): string | undefined {
  return orderOfIndexes(names.filter(isIndexName)).at(-1);
}

function generationOf(name: string): number {
  const digits = INDEX_NAME.exec(name)?.[1];
  return digits === undefined ? -1 : Number.parseInt(digits, 16);
}

/** Parses an index. Throws `corrupt`. */
export function snapshotOfIndex(label: string, text: string): IndexSnapshot {
  const index = parseJson(text);
  const entries = index['layer_metadata'];
  if (typeof entries !== 'object' || entries === null) {
    throw new StorageError('corrupt', {
      what: 'layer_metadata of an index',
      expected: 'an object',
    });
  }
  const metadata = timelineMetadataFromJson(index['metadata_bytes'] ?? index['metadata']);
  const { ancestorTimeline, ancestorLsn } = metadata;
  return {
    snapshot: {
      label,
      layers: Object.entries(entries).map(([name, entry]) => layerOf(name, entry)),
      diskConsistentLsn: metadata.diskConsistentLsn,
      gcCutoffLsn: metadata.latestGcCutoffLsn,
      ancestorLsn: ancestorTimeline === null ? undefined : ancestorLsn,
    },
    ancestor:
      ancestorTimeline === null ? undefined : { timelineId: ancestorTimeline, lsn: ancestorLsn },
  };
}

function parseJson(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return { ...value };
  } catch (error) {
    throw new StorageError('corrupt', { what: 'index', expected: 'JSON', cause: error });
  }
  throw new StorageError('corrupt', { what: 'index', expected: 'a JSON object' });
}

function layerOf(name: string, entry: unknown): SnapshotLayer {
  const fields: Record<string, unknown> = { ...Object(entry) };
  const { file_size: size, generation, shard } = fields;
  if (!isCount(size, Number.MAX_VALUE)) {
    throw new StorageError('corrupt', {
      what: `file_size of layer ${name}`,
      expected: 'a size in bytes',
      actual: String(JSON.stringify(size)),
    });
  }
  return {
    name,
    size,
    generation: isCount(generation, 0xffff_ffff) ? generation : undefined,
    shard: typeof shard === 'string' && /^[0-9a-f]{4}$/.test(shard) ? shard : undefined,
  };
}

function isCount(value: unknown, maximum: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maximum;
}
