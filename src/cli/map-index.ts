/** The parts of an `index_part.json` that a map shows. */
import type { Snapshot } from '../map/snapshot.ts';
import { compareGenerations, type Generation } from '../timeline/generation.ts';
import { IndexPart } from '../timeline/index-part/index-part.ts';
import { indexGeneration } from '../timeline/remote-path.ts';
import { formatShardIndex, isUnsharded } from '../timeline/tenant-shard.ts';

/** The name of an index. */
export interface NamedIndex {
  readonly name: string;
  readonly generation: Generation;
}

/** The names of indices among file names, the one without a generation first. */
export function indexesAmong(names: readonly string[]): NamedIndex[] {
  const indexes: NamedIndex[] = [];
  for (const name of names) {
    const generation = indexGeneration(name);
    if (generation !== 'invalid') indexes.push({ name, generation });
  }
  return indexes.sort((left, right) => compareGenerations(left.generation, right.generation));
}

/** Parses an index. Throws as `IndexPart.parse`. */
export function snapshotOfIndex(path: string, content: Uint8Array): Snapshot {
  const { layers, metadata } = IndexPart.parse(content, { path }).fields;
  return {
    label: path,
    layers: Array.from(layers, ([name, { fileSize, generation, shard }]) => ({
      name,
      size: fileSize,
      generation,
      shard: isUnsharded(shard) ? undefined : formatShardIndex(shard),
    })),
    diskConsistentLsn: metadata.diskConsistentLsn,
    gcCutoffLsn: metadata.latestGcCutoffLsn,
    ancestorLsn: metadata.ancestorTimeline === null ? undefined : metadata.ancestorLsn,
  };
}
