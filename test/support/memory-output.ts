/** A timeline whose layers lie on a disk in memory, and an output on the same disk. */
import { basename } from 'node:path';
import type { LayerOutput } from '../../src/reshape/layer-output.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import type { IndexLayer } from '../../src/timeline/index-part/layer-entry.ts';
import { LayerFiles } from '../../src/timeline/layer-files.ts';
import { LayerMap } from '../../src/timeline/layer-map/layer-map.ts';
import { Timeline, type TimelineFacts } from '../../src/timeline/timeline.ts';
import { DIRECTORY, IDS, type MemoryDisk } from './layers.ts';

const STAGING = '/staging';

/** Disks that have the staging directory. */
const prepared = new WeakSet<MemoryDisk>();

/** Layers are moved to the directory of all layers, and counted. */
export class MemoryOutput implements LayerOutput {
  readonly stagingDirectory = STAGING;
  readonly layers = new Map<string, IndexLayer>();
  index: IndexPart | undefined;
  readonly #disk: MemoryDisk;

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
    if (!prepared.has(disk)) disk.fileSystem.createDirectory(STAGING);
    prepared.add(disk);
  }

  async putLayer({ path }: { readonly path: string }) {
    const { fileSystem } = this.#disk;
    const name = basename(path);
    const fileSize = BigInt(fileSystem.contentOf(path).length);
    const stored = `${DIRECTORY}/${name}`;
    await fileSystem.rename(path, stored);
    this.layers.set(name, { fileSize, generation: 2, shard: { number: 0, count: 0 } });
    return { path: stored, state: 'written' as const };
  }

  async putIndex(index: IndexPart): Promise<string> {
    this.index = index;
    return 'index_part.json-00000002';
  }
}

/** Opens a timeline of the layers on the disk, or of an index. */
export function memoryTimeline(
  disk: MemoryDisk,
  source: readonly string[] | IndexPart,
  more: Partial<TimelineFacts> & {
    readonly lastLsn: bigint;
    readonly parent?: Timeline | undefined;
    readonly maximumBytes?: number | undefined;
  },
): Timeline {
  const { fileSystem } = disk;
  const { lastLsn, parent, maximumBytes = 1 << 24, ...changed } = more;
  const names = source instanceof IndexPart ? [...source.fields.layers.keys()] : source;
  const pathOf = (name: string): string => `${DIRECTORY}/${name}`;
  const places = new Map(
    names.map((name) => {
      const path = pathOf(name);
      return [name, { path, size: undefined, input: async () => fileSystem.contentOf(path) }];
    }),
  );
  const facts: TimelineFacts = {
    ...{ ...IDS, shard: undefined, ancestor: undefined, relationsMovedAt: undefined },
    ...{ diskConsistentLsn: lastLsn, latestGcCutoffLsn: 0n, pgVersion: undefined },
    ...changed,
  };
  const layerOf = (name: string): readonly [string, IndexLayer] => {
    const fileSize = BigInt(fileSystem.contentOf(pathOf(name)).length);
    return [name, { fileSize, generation: 1, shard: { number: 0, count: 0 } }];
  };
  const index =
    source instanceof IndexPart
      ? source
      : IndexPart.create({
          layers: new Map(names.map(layerOf)),
          metadata: {
            ...{ diskConsistentLsn: lastLsn, prevRecordLsn: null, pgVersion: 17 },
            ancestorTimeline: facts.ancestor?.timelineId ?? null,
            ancestorLsn: facts.ancestor?.lsn ?? 0n,
            ...{ latestGcCutoffLsn: 0n, initdbLsn: 8n },
          },
        });
  return new Timeline({
    ...{ facts, map: LayerMap.fromNames(names), maximumBytes },
    files: new LayerFiles(places, { readOptions: {}, tenantId: undefined, maximumIdle: 8 }),
    openAncestor: () => (parent ? Promise.resolve(parent) : Promise.reject(new Error('none'))),
    stored: { index, generation: 1 },
  });
}
