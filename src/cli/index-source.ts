/**
 * Finds the index that a command is asked about: a file, or a directory that is a timeline's, or has
 * timelines below `tenants/` or `timelines/`.
 */
import { basename, dirname, join } from 'node:path';
import { isStorageError, StorageError } from '../errors.ts';
import { chooseIndex } from '../timeline/chosen-generation.ts';
import type { Generation } from '../timeline/generation.ts';
import { IndexPart } from '../timeline/index-part/index-part.ts';
import { INDEX_NAME, indexGeneration } from '../timeline/remote-path.ts';
import { nodeFileSystem } from '../virtual-file/node-file-system.ts';
import { readSmallFile } from '../virtual-file/small-file.ts';

/** Which timeline of a source, and as seen by whom. */
export interface IndexSource {
  readonly source: string;
  /** 32 hex digits. */
  readonly tenant?: string | undefined;
  /** 32 hex digits. */
  readonly timeline?: string | undefined;
  /** Of a pageserver: higher ones are ignored. */
  readonly generation?: Generation;
}

/** An index that was found. */
export interface FoundIndex {
  readonly path: string;
  /** In the name of the file. */
  readonly generation: Generation;
  readonly index: IndexPart;
}

const MAXIMUM_SIZE = 256 * 1024 * 1024;

/** Throws `not-found` without an index, `usage` if several timelines have one. */
export async function readIndex(source: IndexSource): Promise<FoundIndex> {
  const path = (await isDirectory(source.source)) ? await indexBelow(source) : source.source;
  const generation = indexGeneration(basename(path));
  return {
    path,
    generation: generation === 'invalid' ? undefined : generation,
    index: await readSmallFile(path, { maximumLength: MAXIMUM_SIZE }, (content) =>
      IndexPart.parse(content),
    ),
  };
}

/** The directory of the timeline that a source means. */
export async function timelineDirectory(source: IndexSource): Promise<string> {
  if (!(await isDirectory(source.source))) return dirname(source.source);
  const found = await timelinesBelow(source);
  const [only] = found;
  if (only === undefined) return source.source;
  if (found.length === 1) return only;
  throw new StorageError('usage', {
    what: `the source has ${found.length} timelines: choose one with --tenant and --timeline`,
    path: source.source,
    actual: found.map((path) => path.slice(source.source.length)).join(' '),
  });
}

async function indexBelow(source: IndexSource): Promise<string> {
  const directory = await timelineDirectory(source);
  const chosen = chooseIndex(await namesIn(directory), source.generation);
  if (chosen !== undefined) return join(directory, chosen.name);
  throw new StorageError('not-found', { what: `no ${INDEX_NAME}`, path: directory });
}

/** Directories of timelines: `tenants/T/timelines/TL`, or `timelines/TL`. */
async function timelinesBelow({ source, tenant, timeline }: IndexSource): Promise<string[]> {
  const names = await namesIn(source);
  const tenants = names.includes('tenants')
    ? (await namesIn(join(source, 'tenants')))
        .filter((name) => tenant === undefined || name.startsWith(tenant.toLowerCase()))
        .map((name) => join(source, 'tenants', name))
    : [source];
  const found: string[] = [];
  for (const directory of tenants.sort()) {
    const inner = join(directory, 'timelines');
    for (const name of (await namesIfThere(inner)).sort()) {
      if (!/^[0-9a-f]{32}$/.test(name)) continue;
      if (timeline === undefined || name === timeline.toLowerCase()) found.push(join(inner, name));
    }
  }
  return found;
}

async function namesIn(directory: string): Promise<string[]> {
  const entries = await nodeFileSystem.readDirectory(directory);
  return entries.map(({ name }) => name);
}

async function namesIfThere(directory: string): Promise<string[]> {
  try {
    return await namesIn(directory);
  } catch (error) {
    if (isStorageError(error, 'not-found')) return [];
    throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await nodeFileSystem.stat(path)).kind === 'directory';
}
