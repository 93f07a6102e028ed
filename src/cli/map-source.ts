/**
 * What a map is drawn from: each source becomes one or several snapshots of a timeline.
 *
 *   index_part.json   one snapshot
 *   directory, s3://  of a timeline: a snapshot for each index in it, by generation; without an index
 *                     the layers that lie there. Above timelines: the one that is chosen
 *   file, or -        names of layers, one per line; `gc_cutoff:LSN` and `branch:LSN` draw lines
 */
import { basename, dirname, resolve } from 'node:path';
import { StorageError } from '../errors.ts';
import { parseLsn } from '../layers/lsn.ts';
import type { Snapshot, SnapshotLayer } from '../map/snapshot.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { INDEX_NAME } from '../timeline/remote-path.ts';
import type { TimelineSurvey } from '../timeline/survey.ts';
import { nodeFileSystem } from '../virtual-file/node-file-system.ts';
import { readSmallFile } from '../virtual-file/small-file.ts';
import type { Context } from './context.ts';
import { indexesAmong, isIndexName, snapshotOfIndex } from './map-index.ts';
import { isUrl, remotePlace } from './remote-source.ts';
import type { SurveyOptions } from './survey-source.ts';

/** An index of a million layers has about 200 MB. */
const MAXIMUM_FILE_LENGTH = 512 * 1024 * 1024;
/** A line without an end is not kept: no name is longer. */
const MAXIMUM_LINE_LENGTH = 4096;

/** The snapshots of a source. */
export interface MapSource {
  readonly snapshots: readonly Snapshot[];
  /** The timeline's id or the name of the file. */
  readonly title: string;
}

/**
 * Reads a source.
 *
 * @throws `usage` for a place with several timelines; `not-found` for one with none; `corrupt` for an
 * index that is not one; `too-large`, and what stores throw.
 */
export async function readMapSource(
  context: Pick<Context, 'signal' | 'stdin'>,
  source: string,
  options: SurveyOptions,
): Promise<MapSource> {
  if (source === '-') {
    const label = 'standard input';
    return { title: label, snapshots: [namesSnapshot(label, await readStream(context.stdin()))] };
  }
  const name = lastPart(source);
  if (isUrl(source)) {
    if (!isIndexName(name)) return readTimelines(context, source, options);
    const { store, key } = await remotePlace(source, options);
    return { title: name, snapshots: [await readObject(store, key, context.signal)] };
  }
  const { kind } = await nodeFileSystem.stat(source);
  if (kind === 'directory') return readTimelines(context, source, options);
  const content = await readContent(source);
  if (isIndexName(name)) {
    const title = basename(dirname(resolve(source)));
    return { title, snapshots: [snapshotOfIndex(source, content)] };
  }
  const looksLikeJson = /^\s*\{/.test(textOf(content.subarray(0, MAXIMUM_LINE_LENGTH)));
  const snapshot = looksLikeJson
    ? snapshotOfIndex(source, content)
    : namesSnapshot(source, textOf(content));
  return { title: name, snapshots: [snapshot] };
}

/** The indexes of a timeline, or of each of its shards. */
async function readTimelines(
  context: Pick<Context, 'signal'>,
  source: string,
  options: SurveyOptions,
): Promise<MapSource> {
  const { surveySource } = await import('./survey-source.ts');
  const surveys = await surveySource(context, source, options);
  const snapshots: Snapshot[] = [];
  for (const survey of surveys) {
    const { branchPoints } = await import('../timeline/branch-points.ts');
    const branchLsns = await branchPoints(survey, context.signal);
    const read = await snapshotsOf(survey, context.signal);
    snapshots.push(...read.map((snapshot) => ({ ...snapshot, branchLsns })));
  }
  return { title: surveys[0]?.location.timelineId ?? lastPart(source), snapshots };
}

/** One for each index, by generation; without an index the layers that lie there. */
async function snapshotsOf(
  { store, location, layers }: TimelineSurvey,
  signal: AbortSignal,
): Promise<Snapshot[]> {
  const { prefix } = location;
  const names: string[] = [];
  for await (const item of store.list(`${prefix}${INDEX_NAME}`, { delimiter: '/', signal })) {
    if ('key' in item) names.push(item.key.slice(prefix.length));
  }
  const snapshots: Snapshot[] = [];
  for (const name of indexesAmong(names)) {
    snapshots.push(await readObject(store, prefix + name, signal));
  }
  if (snapshots.length > 0) return snapshots;
  const listed = layers.map(({ name, size, generation, shard }) => ({
    name,
    size,
    generation,
    shard,
  }));
  return [{ label: store.name, layers: listed }];
}

async function readObject(store: ObjectStore, key: string, signal: AbortSignal): Promise<Snapshot> {
  const { pathOfObject, readWhole } = await import('../object-store/object-store.ts');
  const { bytes } = await readWhole(store, key, { maximumLength: MAXIMUM_FILE_LENGTH, signal });
  return snapshotOfIndex(pathOfObject(store, key), bytes);
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

/** Of a path or a URL. */
function lastPart(source: string): string {
  return source.split('/').findLast((part) => part !== '') ?? source;
}
