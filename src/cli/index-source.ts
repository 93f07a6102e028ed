/** Finds and reads the index for a command, and lists the layers from which an index can be rebuilt. */
import { basename, dirname, isAbsolute, join, relative } from 'node:path';
import { StorageError } from '../errors.ts';
import { pathOfObject } from '../object-store/object-store.ts';
import { readWhole } from '../object-store/read-whole.ts';
import { chooseIndex } from '../timeline/chosen-generation.ts';
import type { Generation } from '../timeline/generation.ts';
import { IndexPart, MAXIMUM_INDEX_SIZE } from '../timeline/index-part/index-part.ts';
import type { ListedLayer } from '../timeline/index-part/rebuild.ts';
import { listFiles } from '../timeline/list-files.ts';
import { parseLocalTimelineFile } from '../timeline/local-name.ts';
import type { SourcePlace } from '../timeline/open-timeline.ts';
import { INDEX_NAME, indexGeneration, parseTimelineObject } from '../timeline/remote-path.ts';
import { readSmallFile } from '../virtual-file/small-file.ts';
import type { Context } from './context.ts';
import type { RemoteOptions } from './remote-source.ts';
import {
  placeOfArgument,
  severalError,
  shardsOfTimeline,
  type TimelineChoice,
} from './source-place.ts';
import { textLines } from './text-lines.ts';

/** Which timeline of a source, and in which generation. */
export interface IndexSource extends TimelineChoice, RemoteOptions {
  readonly source: string;
  /** Of a pageserver: higher ones are ignored. */
  readonly generation?: Generation;
}

/** An index that was found. */
export interface FoundIndex {
  readonly path: string;
  /** In the name of the file. */
  readonly generation: Generation;
  readonly index: IndexPart;
  /** The highest generation of any index in the same place; its own if the store cannot list. */
  readonly highest: Generation;
  /** Path of its file; undefined for an object. */
  readonly directory: string | undefined;
}

/** Files of a timeline without an index. */
export interface ListedTimeline {
  readonly layers: readonly ListedLayer[];
  /** Undefined for objects and for a listing on standard input. */
  readonly directory: string | undefined;
}

/** Throws `not-found` if there is no index, `usage` if several timelines have one; and as the store. */
export async function readIndex(
  { signal }: Pick<Context, 'signal'>,
  source: IndexSource,
): Promise<FoundIndex> {
  const place = await placeOfArgument(source.source, source);
  if (place.kind === 'file') return readIndexFile(place.path);
  if (place.kind !== 'timelines') {
    const { store, key } = place;
    const generation = generationOf(basename(key));
    const path = pathOfObject(store, key);
    const { bytes } = await readWhole(store, key, { maximumLength: MAXIMUM_INDEX_SIZE, signal });
    const index = IndexPart.parse(bytes, { path });
    return { path, generation, index, highest: generation, directory: undefined };
  }
  const { store } = place.root;
  const files = await listPlace(place, source, signal);
  const names = [...files.sizes.keys()];
  const chosen = place.indexName ?? chooseIndex(names, source.generation)?.name;
  if (chosen === undefined) {
    const path = pathOfObject(store, files.prefix);
    throw new StorageError('not-found', { what: `no ${INDEX_NAME}`, path });
  }
  const key = files.prefix + chosen;
  const path = place.indexName === undefined ? pathOfObject(store, key) : source.source;
  const { bytes } = await readWhole(store, key, { maximumLength: MAXIMUM_INDEX_SIZE, signal });
  return {
    path,
    generation: generationOf(chosen),
    index: IndexPart.parse(bytes, { path }),
    highest: chooseIndex(names)?.generation,
    directory: directoryOf(place, { source: source.source, prefix: files.prefix }),
  };
}

/**
 * Layers under local or remote names, with their sizes. `-` is a listing on standard input.
 * Throws `exists` if there is an index, which then is not lost; `usage` for a line that is not `SIZE NAME`.
 */
export async function listTimeline(
  context: Pick<Context, 'signal' | 'stdin' | 'stdinIsTerminal'>,
  source: IndexSource,
): Promise<ListedTimeline> {
  if (source.source === '-') {
    return { layers: await layersOfListing(context), directory: undefined };
  }
  const place = await placeOfArgument(source.source, source);
  if (place.kind !== 'timelines') {
    const what = 'source without a listing';
    const expected = 'directory of a timeline, s3://BUCKET/PREFIX, or - for a listing';
    throw new StorageError('usage', { what, expected, actual: source.source });
  }
  const { prefix, sizes } = await listPlace(place, source, context.signal);
  refuseIndex([...sizes.keys()], pathOfObject(place.root.store, prefix));
  const layers: ListedLayer[] = [];
  for (const [name, size] of sizes) {
    const layer = layerOf(name, size);
    if (layer !== undefined) layers.push(layer);
  }
  return { layers, directory: directoryOf(place, { source: source.source, prefix }) };
}

async function readIndexFile(path: string): Promise<FoundIndex> {
  const index = await readSmallFile(path, { maximumLength: MAXIMUM_INDEX_SIZE }, (content) =>
    IndexPart.parse(content),
  );
  const { nodeFileSystem } = await import('../virtual-file/node-file-system.ts');
  const directory = dirname(path);
  const beside = await nodeFileSystem.readDirectory(directory);
  const highest = chooseIndex(beside.map(({ name }) => name))?.generation;
  return { path, generation: generationOf(basename(path)), index, highest, directory };
}

function generationOf(name: string): Generation {
  const generation = indexGeneration(name);
  return generation === 'invalid' ? undefined : generation;
}

interface TimelineListing {
  readonly prefix: string;
  /** Bytes, by the names below the prefix. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** If a directory has no timeline below it, the directory itself is listed. */
async function listPlace(
  place: SourcePlace,
  source: IndexSource,
  signal: AbortSignal,
): Promise<TimelineListing> {
  const shards = place.indexName === undefined ? await shardsOfTimeline(place, source, signal) : [];
  if (shards.length > 1) {
    throw severalError('several shards: give the path of one', source.source, shards);
  }
  const prefix = shards[0]?.prefix ?? place.prefix;
  const files = await listFiles(place.root.store, prefix, { signal });
  return {
    prefix,
    sizes: new Map(files.map(({ key, size }) => [key.slice(prefix.length), size])),
  };
}

/** Relative if the source is, so that the output matches the argument. */
function directoryOf(
  { root }: SourcePlace,
  { source, prefix }: { source: string; prefix: string },
): string | undefined {
  if (root.directory === undefined) return undefined;
  const directory = join(root.directory, prefix);
  return isAbsolute(source) ? directory : relative('.', directory);
}

function refuseIndex(names: readonly string[], path: string | undefined): void {
  const chosen = chooseIndex(names);
  if (chosen === undefined) return;
  throw new StorageError('exists', {
    what: `an index exists (${chosen.name}): change it with index-part set, or move it away`,
    path,
  });
}

function layerOf(name: string, size: number): ListedLayer | undefined {
  const remote = parseTimelineObject(name);
  const found = remote.kind === 'layer' ? remote : parseLocalTimelineFile(name);
  return found.kind === 'layer'
    ? { name: found.name, generation: found.generation, size }
    : undefined;
}

/** Lines whose last words are a size and a name or path, such as `aws s3 ls` prints. */
async function layersOfListing(
  context: Pick<Context, 'signal' | 'stdin' | 'stdinIsTerminal'>,
): Promise<ListedLayer[]> {
  if (context.stdinIsTerminal) {
    throw new StorageError('usage', {
      what: 'standard input is a terminal: pipe a listing into it',
    });
  }
  const layers: ListedLayer[] = [];
  let number = 0;
  for await (const line of textLines('-', context)) {
    number += 1;
    const [, size, path] = /(?:^|\s)(\d+)\s+(\S+)\s*$/.exec(line) ?? [];
    const word = path ?? line.trim().split(/\s+/).at(-1) ?? '';
    const name = word.slice(word.lastIndexOf('/') + 1);
    refuseIndex([name], undefined);
    const layer = layerOf(name, Number(size));
    if (layer === undefined) continue;
    if (size === undefined || !Number.isSafeInteger(layer.size)) {
      throw new StorageError('usage', {
        what: `line ${number} of the listing`,
        expected: 'SIZE NAME, the size in bytes',
        actual: line,
      });
    }
    layers.push(layer);
  }
  return layers;
}
