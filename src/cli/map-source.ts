/**
 * The sources of a map: each becomes one or several snapshots of a timeline.
 *
 *   index_part.json   one snapshot
 *   directory, s3://  of a timeline: a snapshot for each index in it, by generation; without an index,
 *                     the existing layers. Above timelines: the one that is chosen. Its shards are
 *                     drawn as one
 *   file, or -        names of layers, one per line; `gc_cutoff:LSN` and `branch:LSN` draw lines
 */
import { StorageError } from '../errors.ts';
import { parseLsn } from '../layers/lsn.ts';
import type { Snapshot, SnapshotLayer } from '../map/snapshot.ts';
import { type ObjectStore, pathOfObject } from '../object-store/object-store.ts';
import { readWhole } from '../object-store/read-whole.ts';
import {
  compareGenerations,
  formatGenerationSuffix,
  type Generation,
} from '../timeline/generation.ts';
import { IndexPart } from '../timeline/index-part/index-part.ts';
import { INDEX_NAME, indexGeneration } from '../timeline/remote-path.ts';
import { DEFAULT_STRIPE_SIZE } from '../timeline/shard-owner.ts';
import type { TimelineSurvey } from '../timeline/survey.ts';
import { formatShardIndex, isUnsharded } from '../timeline/tenant-shard.ts';
import { readSmallFile } from '../virtual-file/small-file.ts';
import type { Context } from './context.ts';
import { formatNumberOf } from './human.ts';
import { placeOfArgument } from './source-place.ts';
import { type SurveyOptions, surveySource } from './survey-source.ts';

/** An index of a million layers has about 200 MB. */
const MAXIMUM_FILE_LENGTH = 512 * 1024 * 1024;
/** Limit for a line without an end: no name is longer. */
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
 * @throws `usage` for a place with several timelines; `not-found` for one with none; `corrupt` for an invalid index;
 * `too-large`; and as stores.
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
  const place = await placeOfArgument(source, options);
  if (place.kind === 'file') {
    return { title: lastPart(source), snapshots: [await readFile(place.path)] };
  }
  if (place.kind === 'lone-index') {
    const { store, key } = place;
    return { title: lastPart(source), snapshots: [await readObject(store, key, context.signal)] };
  }
  if (place.kind === 'timelines' && place.indexName !== undefined) {
    const { root, prefix, indexName } = place;
    const snapshot = await readObject(root.store, prefix + indexName, context.signal);
    return { title: lastPart(pathOfObject(root.store, prefix)), snapshots: [snapshot] };
  }
  const surveys = await surveySource(context, source, options);
  const { timelineId } = surveys[0]?.location ?? {};
  const snapshots = await readTimeline(surveys, context.signal);
  return { title: timelineId ?? lastPart(source), snapshots };
}

/** An index under another name, or names of layers. */
async function readFile(path: string): Promise<Snapshot> {
  const content = await readContent(path);
  const looksLikeJson = /^\s*\{/.test(textOf(content.subarray(0, MAXIMUM_LINE_LENGTH)));
  return looksLikeJson ? snapshotOfIndex(path, content) : namesSnapshot(path, textOf(content));
}

/** The indices of a timeline. Those of several shards become snapshots of the whole timeline, by generation. */
async function readTimeline(
  surveys: readonly TimelineSurvey[],
  signal: AbortSignal,
): Promise<Snapshot[]> {
  const shards: ShardSnapshots[] = [];
  for (const survey of surveys) {
    const { branchPoints } = await import('../timeline/branch-points.ts');
    const branchLsns = await branchPoints(survey, signal);
    const read = await snapshotsOf(survey, signal);
    const steps = read.map(({ generation, snapshot }) => {
      return { generation, snapshot: { ...snapshot, branchLsns } };
    });
    shards.push({ shard: survey.location.shard, steps });
  }
  const [first] = surveys;
  const [only] = shards;
  if (first === undefined || only === undefined) return [];
  if (shards.length === 1) return only.steps.map(({ snapshot }) => snapshot);
  const { chooseShards, readStripeSize } = await import('../timeline/shard-set.ts');
  const chosen = chooseShards(surveys.map(({ location }) => location));
  const { store } = first;
  const stripeSize = chosen && (await readStripeSize({ store, shards: chosen, signal }));
  return mergedSteps(shards, stripeSize ?? DEFAULT_STRIPE_SIZE);
}

/** A snapshot, and the generation of its index. */
export interface SnapshotStep {
  readonly generation: Generation;
  readonly snapshot: Snapshot;
}

/** The snapshots of a shard, by generation. */
export interface ShardSnapshots {
  readonly shard: string | undefined;
  readonly steps: readonly SnapshotStep[];
}

/** For each generation of any shard, the whole timeline: the newest snapshot of each shard up to that generation. */
export function mergedSteps(shards: readonly ShardSnapshots[], stripeSize: number): Snapshot[] {
  const generations = shards.flatMap(({ steps }) => steps.map(({ generation }) => generation));
  return [...new Set(generations)].sort(compareGenerations).map((generation) => {
    const parts = shards.flatMap(({ shard, steps }) => {
      const step = steps.findLast(
        (candidate) => compareGenerations(candidate.generation, generation) <= 0,
      );
      return step === undefined ? [] : [{ shard, snapshot: step.snapshot }];
    });
    const name = INDEX_NAME + formatGenerationSuffix(generation);
    const label = `${name} of ${formatNumberOf(parts.length, 'shard', 'shards')}`;
    return { ...merged(parts), label, stripeSize };
  });
}

interface ShardSnapshot {
  readonly shard: string | undefined;
  readonly snapshot: Snapshot;
}

/** A layer gets the shard that reads it, not the one that wrote it: after a split, several shards share layers. */
function merged(parts: readonly ShardSnapshot[]): Omit<Snapshot, 'label'> {
  const lsnsOf = (field: 'diskConsistentLsn' | 'gcCutoffLsn'): bigint[] =>
    parts.flatMap(({ snapshot }) => snapshot[field] ?? []).sort(compareLsns);
  const durable = lsnsOf('diskConsistentLsn');
  return {
    layers: parts.flatMap(({ shard, snapshot }) =>
      Array.from(snapshot.layers, (layer) => ({ ...layer, shard, writer: layer.shard ?? '0000' })),
    ),
    // Up to the lowest LSN, the layers of all shards are complete.
    diskConsistentLsn: durable.length === parts.length ? durable[0] : undefined,
    lastLsn: durable.length === parts.length ? durable.at(-1) : undefined,
    gcCutoffLsn: lsnsOf('gcCutoffLsn').at(-1),
    ancestorLsn: parts[0]?.snapshot.ancestorLsn,
    branchLsns: [...new Set(parts.flatMap(({ snapshot }) => snapshot.branchLsns ?? []))],
  };
}

function compareLsns(left: bigint, right: bigint): number {
  return left < right ? -1 : Number(left > right);
}

/** One for each index, by generation; without an index, the existing layers. */
async function snapshotsOf(
  { store, location, layers }: TimelineSurvey,
  signal: AbortSignal,
): Promise<SnapshotStep[]> {
  const { prefix } = location;
  const { listFiles } = await import('../timeline/list-files.ts');
  const files = await listFiles(store, prefix + INDEX_NAME, { signal });
  const names = files.map(({ key }) => key.slice(prefix.length));
  const steps: SnapshotStep[] = [];
  for (const { name, generation } of indexesAmong(names)) {
    steps.push({ generation, snapshot: await readObject(store, prefix + name, signal) });
  }
  if (steps.length > 0) return steps;
  const listed = layers.map(({ name, size, generation, shard }) => ({
    name,
    size,
    generation,
    shard,
  }));
  return [{ generation: undefined, snapshot: { label: store.name, layers: listed } }];
}

async function readObject(store: ObjectStore, key: string, signal: AbortSignal): Promise<Snapshot> {
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

/** The memory is not reused. */
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

/** The last part of a path or a URL. */
function lastPart(source: string): string {
  return source.split('/').findLast((part) => part !== '') ?? source;
}

/** The name of an index. */
interface NamedIndex {
  readonly name: string;
  readonly generation: Generation;
}

/** The names of indices among file names, the one without a generation first. */
function indexesAmong(names: readonly string[]): NamedIndex[] {
  const indexes: NamedIndex[] = [];
  for (const name of names) {
    const generation = indexGeneration(name);
    if (generation !== 'invalid') indexes.push({ name, generation });
  }
  return indexes.sort((left, right) => compareGenerations(left.generation, right.generation));
}

/** Parses an index. Throws as `IndexPart.parse`. */
function snapshotOfIndex(path: string, content: Uint8Array): Snapshot {
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
