/** Lists the layers of a directory, and writes a new index beside the old ones. */
import { join } from 'node:path';
import { StorageError } from '../errors.ts';
import { chooseIndex } from '../timeline/chosen-generation.ts';
import { type Generation, nextGeneration } from '../timeline/generation.ts';
import { writeIndexPart } from '../timeline/index-part/index-file.ts';
import type { IndexPart } from '../timeline/index-part/index-part.ts';
import type { ListedLayer } from '../timeline/index-part/rebuild.ts';
import { parseLocalTimelineFile } from '../timeline/local-name.ts';
import { parseTimelineObject } from '../timeline/remote-path.ts';
import { nodeFileSystem } from '../virtual-file/node-file-system.ts';
import type { TimelineMetadataFields } from '../write-once/timeline-metadata.ts';
import type { Context } from './context.ts';

/** Where a new index goes. */
export interface NewIndexPlace {
  /** `-` is standard output. */
  readonly directory: string;
  /** Undefined: the one after `after`. */
  readonly generation: Generation;
  /** The highest that is there. */
  readonly after: Generation;
}

/** Writes an index; an old one is never touched. Returns its path, undefined for standard output. */
export async function writeNewIndex(
  { stdout, signal }: Context,
  index: IndexPart,
  { directory, generation, after }: NewIndexPlace,
): Promise<string | undefined> {
  if (directory === '-') {
    await stdout.write(index.format());
    return undefined;
  }
  const next = generation ?? nextGeneration(after);
  if (next === undefined) {
    throw new StorageError('out-of-range', {
      what: 'no generation is after the highest',
      path: directory,
    });
  }
  return writeIndexPart(index, { directory, generation: next, signal });
}

/** The highest generation of an index in the directory. */
export async function highestGeneration(directory: string): Promise<Generation> {
  const entries = await nodeFileSystem.readDirectory(directory);
  return chooseIndex(entries.map(({ name }) => name))?.generation;
}

/** Throws `exists` if the directory has an index: then it is not lost. */
export async function refuseExistingIndex(directory: string): Promise<void> {
  const entries = await nodeFileSystem.readDirectory(directory);
  const chosen = chooseIndex(entries.map(({ name }) => name));
  if (chosen === undefined) return;
  throw new StorageError('exists', {
    what: 'an index is there: change it with index-part set, or move it away',
    path: join(directory, chosen.name),
  });
}

/** Layers under local or remote names, with their sizes. */
export async function listLayers(directory: string): Promise<ListedLayer[]> {
  const layers: ListedLayer[] = [];
  for (const { name } of await nodeFileSystem.readDirectory(directory)) {
    const remote = parseTimelineObject(name);
    const found = remote.kind === 'layer' ? remote : parseLocalTimelineFile(name);
    if (found.kind !== 'layer') continue;
    const { kind, size } = await nodeFileSystem.stat(join(directory, name));
    if (kind === 'file') layers.push({ name: found.name, generation: found.generation, size });
  }
  return layers;
}

const METADATA_NAMES: Readonly<Record<keyof TimelineMetadataFields, string>> = {
  diskConsistentLsn: 'disk_consistent_lsn',
  prevRecordLsn: 'prev_record_lsn',
  ancestorTimeline: 'ancestor_timeline',
  ancestorLsn: 'ancestor_lsn',
  latestGcCutoffLsn: 'latest_gc_cutoff_lsn',
  initdbLsn: 'initdb_lsn',
  pgVersion: 'pg_version',
};

/** The name of a field of the metadata in JSON. */
export function metadataName(name: keyof TimelineMetadataFields): string {
  return METADATA_NAMES[name];
}
