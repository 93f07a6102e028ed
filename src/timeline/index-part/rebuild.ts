/**
 * Recreates a lost index from a listing of the layers. Metadata that is not given is derived from the names where
 * possible:
 *
 *   disk_consistent_lsn   the highest LSN of a layer, up to a multiple of 8
 *   initdb_lsn            the lowest LSN of a layer
 *   latest_gc_cutoff_lsn  the same: reads below it find nothing
 *   prev_record_lsn       null: a pageserver then starts with an unknown one
 *   ancestor_timeline     null, and ancestor_lsn 0/0
 *
 * Names do not contain the version of Postgres. A derived field is a guess: the real cutoff may be higher, and the
 * timeline may have an ancestor.
 */
import { checkCount, checkObject, itemsOf } from '../../check-options.ts';
import { StorageError } from '../../errors.ts';
import { parseLayerName } from '../../layers/layer-name.ts';
import type { Lsn } from '../../layers/lsn.ts';
import type { TimelineMetadataFields } from '../../write-once/timeline-metadata.ts';
import { compareGenerations, type Generation } from '../generation.ts';
import { type ShardIndex, UNSHARDED } from '../tenant-shard.ts';
import { canonicalLayerName } from './index-fields.ts';
import { IndexPart } from './index-part.ts';
import type { IndexLayer } from './layer-entry.ts';

/** A layer of a listing. */
export interface ListedLayer {
  /** Its name, with or without a generation, which is ignored. */
  readonly name: string;
  /** Bytes. */
  readonly size: number | bigint;
  /** From the name of the object. */
  readonly generation?: Generation;
  /** From the path of the object. */
  readonly shard?: ShardIndex | undefined;
}

/** A rebuilt index. */
export interface RebuiltIndexPart {
  /** In the version that is written. */
  readonly index: IndexPart;
  /** Fields of the metadata that were derived. */
  readonly derived: readonly (keyof TimelineMetadataFields)[];
  /** Layers of the listing that also exist in a higher generation. */
  readonly superseded: readonly ListedLayer[];
}

/**
 * Makes an index of all layers in a listing. If a layer exists in several generations, the highest is used.
 *
 * Requires: the version of Postgres in `given`.
 *
 * @throws `empty` for a listing without a layer; `invalid-input`, `ambiguous-name` or `out-of-range`
 * for names and values that an index cannot hold.
 */
export function rebuildIndexPart(
  listing: Iterable<ListedLayer>,
  given: Partial<TimelineMetadataFields> & Pick<TimelineMetadataFields, 'pgVersion'>,
): RebuiltIndexPart {
  checkObject('metadata', given);
  const newest = new Map<string, ListedLayer>();
  const superseded: ListedLayer[] = [];
  for (const layer of itemsOf('listing', listing)) {
    checkObject('layer of the listing', layer);
    if (typeof layer.size !== 'bigint') checkCount('size of a layer', layer.size);
    const name = canonicalLayerName(layer.name);
    const other = newest.get(name);
    const isNewer =
      other === undefined || compareGenerations(layer.generation, other.generation) > 0;
    if (isNewer) newest.set(name, layer);
    if (other !== undefined) superseded.push(isNewer ? other : layer);
  }
  if (newest.size === 0) throw new StorageError('empty', { what: 'listing without a layer' });
  const layers = new Map<string, IndexLayer>();
  for (const [name, { size, generation, shard = UNSHARDED }] of newest) {
    layers.set(name, { fileSize: BigInt(size), generation, shard });
  }
  const guess = deriveMetadata(newest.keys());
  const derived = derivedNames(guess).filter((name) => given[name] === undefined);
  return {
    index: IndexPart.create({ layers, metadata: { ...guess, ...given } }),
    derived,
    superseded,
  };
}

type DerivedMetadata = Omit<TimelineMetadataFields, 'pgVersion'>;

function deriveMetadata(names: Iterable<string>): DerivedMetadata {
  let lowest: Lsn | undefined;
  let highest: Lsn = 0n;
  for (const name of names) {
    const layer = parseLayerName(name);
    const start = layer.kind === 'image' ? layer.lsn : layer.lsnRange.start;
    const last = layer.kind === 'image' ? layer.lsn : layer.lsnRange.end - 1n;
    if (lowest === undefined || start < lowest) lowest = start;
    if (last > highest) highest = last;
  }
  return {
    diskConsistentLsn: ((highest + 7n) / 8n) * 8n,
    prevRecordLsn: null,
    ancestorTimeline: null,
    ancestorLsn: 0n,
    latestGcCutoffLsn: lowest ?? 0n,
    initdbLsn: lowest ?? 0n,
  };
}

function derivedNames(metadata: DerivedMetadata): (keyof DerivedMetadata)[] {
  const isName = (name: string): name is keyof DerivedMetadata => name in metadata;
  return Object.keys(metadata).filter(isName);
}
