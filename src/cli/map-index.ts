/** What a map shows of an `index_part.json`. */
import type { Lsn } from '../layers/lsn.ts';
import type { Snapshot } from '../map/snapshot.ts';
import { chooseIndex } from '../timeline/chosen-generation.ts';
import { compareGenerations, type Generation } from '../timeline/generation.ts';
import { IndexPart } from '../timeline/index-part/index-part.ts';
import { indexGeneration } from '../timeline/remote-path.ts';
import { formatShardIndex, isUnsharded } from '../timeline/tenant-shard.ts';

/** An index as a snapshot, and where its timeline branched off. */
export interface IndexSnapshot {
  readonly snapshot: Snapshot;
  readonly ancestor: { readonly timelineId: string; readonly lsn: Lsn } | undefined;
}

/** Whether a file has the name of an index, of whatever generation. */
export function isIndexName(name: string): boolean {
  return indexGeneration(name) !== 'invalid';
}

/** The names of indexes among those of files, the one without a generation first. */
export function indexesAmong(names: readonly string[]): string[] {
  const indexes: { name: string; generation: Generation }[] = [];
  for (const name of names) {
    const generation = indexGeneration(name);
    if (generation !== 'invalid') indexes.push({ name, generation });
  }
  return indexes
    .sort((left, right) => compareGenerations(left.generation, right.generation))
    .map(({ name }) => name);
}

/** The index that counts where no pageserver is attached. */
export function newestIndex(names: readonly string[]): string | undefined {
  return chooseIndex(names)?.name;
}

/** Parses an index. Throws as `IndexPart.parse`. */
export function snapshotOfIndex(path: string, content: Uint8Array): IndexSnapshot {
  const { layers, metadata } = IndexPart.parse(content, { path }).fields;
  const { ancestorTimeline, ancestorLsn } = metadata;
  return {
    snapshot: {
      label: path,
      layers: Array.from(layers, ([name, { fileSize, generation, shard }]) => ({
        name,
        size: fileSize,
        generation,
        shard: isUnsharded(shard) ? undefined : formatShardIndex(shard),
      })),
      diskConsistentLsn: metadata.diskConsistentLsn,
      gcCutoffLsn: metadata.latestGcCutoffLsn,
      ancestorLsn: ancestorTimeline === null ? undefined : ancestorLsn,
    },
    ancestor:
      ancestorTimeline === null ? undefined : { timelineId: ancestorTimeline, lsn: ancestorLsn },
  };
}
