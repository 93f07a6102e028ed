/**
 * What a map is drawn from: each source becomes one or several snapshots of a timeline.
 *
 *   index_part.json   one snapshot
 *   directory         of a timeline: a snapshot for each index in it, by generation; without an index
 *                     the layers that lie there. Above a timeline: the only one below it
 *   file, or -        names of layers, one per line; `gc_cutoff:LSN` and `branch:LSN` draw lines
 */
import { basename, dirname, join, resolve } from 'node:path';
import { isStorageError, StorageError } from '../errors.ts';
import { parseLsn } from '../layers/lsn.ts';
import type { Snapshot, SnapshotLayer } from '../map/snapshot.ts';
import { nodeFileSystem } from '../virtual-file/node-file-system.ts';
import { readSmallFile } from '../virtual-file/small-file.ts';
import {
  type IndexSnapshot,
  indexesAmong,
  isIndexName,
  newestIndex,
  snapshotOfIndex,
} from './map-index.ts';

/** An index of a million layers has about 200 MB. */
const MAXIMUM_FILE_LENGTH = 512 * 1024 * 1024;
/** A line without an end is not kept: no name is longer. */
const MAXIMUM_LINE_LENGTH = 4096;

/** Which timeline is wanted, where a source has several. */
export interface TimelineChoice {
  readonly tenant?: string | undefined;
  readonly timeline?: string | undefined;
}

/** The snapshots of a source, and what could not be read beside it. */
export interface MapSource {
  readonly snapshots: readonly Snapshot[];
  /** The timeline's id or the name of the file. */
  readonly title: string;
  readonly warnings: readonly { readonly path: string; readonly message: string }[];
}

/**
 * Reads a source.
 *
 * @throws `usage` for a directory with no timeline or with several; `corrupt` for an index that is not
 * one; `too-large`, `not-found`, `io`.
 */
export async function readMapSource(
  source: string,
  { choice, stdin }: { choice: TimelineChoice; stdin: () => AsyncIterable<Uint8Array> },
): Promise<MapSource> {
  if (source === '-') {
    const text = await readStream(stdin());
    return {
      title: 'standard input',
      snapshots: [namesSnapshot('standard input', text)],
      warnings: [],
    };
  }
  const { kind } = await nodeFileSystem.stat(source);
  if (kind === 'directory') return readDirectory(source, choice);
  if (isIndexName(basename(source))) {
    const index = await readIndex(source);
    return { title: basename(dirname(resolve(source))), snapshots: [index.snapshot], warnings: [] };
  }
  const content = await readContent(source);
  const looksLikeJson = /^\s*\{/.test(textOf(content.subarray(0, MAXIMUM_LINE_LENGTH)));
  const snapshot = looksLikeJson
    ? snapshotOfIndex(source, content).snapshot
    : namesSnapshot(source, textOf(content));
  return { title: basename(source), snapshots: [snapshot], warnings: [] };
}

async function readDirectory(directory: string, choice: TimelineChoice): Promise<MapSource> {
  const timelines = await findTimelines(directory, choice);
  const [timeline, ...others] = timelines;
  if (timeline === undefined) {
    throw new StorageError('usage', {
      what: 'directory holds no timeline',
      path: directory,
      expected: 'layers or an index_part.json, at most four directories below',
    });
  }
  if (others.length > 0) {
    throw new StorageError('usage', {
      what: 'directory holds several timelines: choose one with --tenant and --timeline',
      path: directory,
      actual: timelines.join(', '),
    });
  }
  const names = await namesIn(timeline, 'file');
  const indexes = indexesAmong(names);
  const { branchLsns, warnings } = await branchesOf(timeline);
  const snapshots =
    indexes.length === 0
      ? [await listedSnapshot(timeline, names)]
      : await Promise.all(
          indexes.map(async (name) => (await readIndex(join(timeline, name))).snapshot),
        );
  return {
    title: basename(resolve(timeline)),
    snapshots: snapshots.map((snapshot) => ({ ...snapshot, branchLsns })),
    warnings,
  };
}

/** Below a prefix: `tenants`, tenant, `timelines`, timeline. */
const MAXIMUM_DEPTH = 4;
const IDENTIFIER = /^[0-9a-f]{32}(-[0-9a-f]{4})?$/;
const LAYER_NAME = /^[0-9a-fA-F]{36}-[0-9a-fA-F]{36}__/;

async function findTimelines(
  directory: string,
  { tenant, timeline }: TimelineChoice,
  depth = 0,
): Promise<string[]> {
  const files = await namesIn(directory, 'file');
  if (files.some((name) => isIndexName(name) || LAYER_NAME.test(name))) return [directory];
  if (depth === MAXIMUM_DEPTH) return [];
  const found: string[] = [];
  for (const name of await namesIn(directory, 'directory')) {
    const parent = basename(directory);
    const isWanted =
      name === 'tenants' ||
      name === 'timelines' ||
      (IDENTIFIER.test(name) &&
        (parent === 'timelines' ? [undefined, name] : [undefined, name.slice(0, 32)]).includes(
          parent === 'timelines' ? timeline : tenant,
        ));
    if (!isWanted) continue;
    found.push(...(await findTimelines(join(directory, name), { tenant, timeline }, depth + 1)));
  }
  return found;
}

/** Where the children of a timeline, whose directories lie beside it, branched off. */
async function branchesOf(
  timeline: string,
): Promise<Pick<Snapshot, 'branchLsns'> & Pick<MapSource, 'warnings'>> {
  const place = resolve(timeline);
  const id = basename(place);
  const parent = dirname(place);
  if (basename(parent) !== 'timelines' || !IDENTIFIER.test(id)) return { warnings: [] };
  const branchLsns = [];
  const warnings = [];
  for (const name of await namesIn(parent, 'directory')) {
    if (name === id || !IDENTIFIER.test(name)) continue;
    const index = newestIndex(await namesIn(join(parent, name), 'file'));
    if (index === undefined) continue;
    try {
      const { ancestor } = await readIndex(join(parent, name, index));
      if (ancestor?.timelineId === id) branchLsns.push(ancestor.lsn);
    } catch (error) {
      if (!isStorageError(error)) throw error;
      warnings.push({ path: join(parent, name), message: `branch is not drawn: ${error.message}` });
    }
  }
  return { branchLsns, warnings };
}

/** The layers that lie in a directory, with their sizes. */
async function listedSnapshot(directory: string, names: readonly string[]): Promise<Snapshot> {
  const layers: SnapshotLayer[] = [];
  for (const name of names.filter((candidate) => LAYER_NAME.test(candidate))) {
    const { size } = await nodeFileSystem.stat(join(directory, name));
    layers.push({ name, size });
  }
  return { label: directory, layers };
}

/** Names of layers and of lines, one per line. */
export function namesSnapshot(label: string, text: string): Snapshot {
  const layers: SnapshotLayer[] = [];
  const branchLsns = [];
  let gcCutoffLsn: bigint | undefined;
  for (const line of text.split('\n')) {
    const name = line.replace(/\r$/, '').slice(0, MAXIMUM_LINE_LENGTH);
    const mark = /^(gc_cutoff|branch):([0-9a-fA-F/]+)$/.exec(name);
    if (mark === null) {
      if (name !== '') layers.push({ name });
      continue;
    }
    const lsn = parseLsn(mark[2] ?? '');
    if (mark[1] === 'branch') branchLsns.push(lsn);
    else gcCutoffLsn = lsn;
  }
  return { label, layers, branchLsns, gcCutoffLsn };
}

async function readIndex(path: string): Promise<IndexSnapshot> {
  return snapshotOfIndex(path, await readContent(path));
}

/** The memory is not used again. */
function readContent(path: string): Promise<Uint8Array> {
  return readSmallFile(path, { maximumLength: MAXIMUM_FILE_LENGTH }, (content) => content);
}

function textOf(content: Uint8Array): string {
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('utf8');
}

async function readStream(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > MAXIMUM_FILE_LENGTH) {
      throw new StorageError('too-large', {
        what: 'standard input',
        expected: `at most ${MAXIMUM_FILE_LENGTH} bytes`,
      });
    }
    chunks.push(chunk);
  }
  return textOf(Buffer.concat(chunks));
}

/** In byte order. */
async function namesIn(directory: string, kind: 'file' | 'directory'): Promise<string[]> {
  const entries = await nodeFileSystem.readDirectory(directory);
  return entries
    .filter((entry) => entry.kind === kind)
    .map(({ name }) => name)
    .sort();
}
