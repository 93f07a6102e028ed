/**
 * Compares an index with files: the state of each layer of a timeline, and what a pageserver would do with it at
 * startup. Pure: names and sizes in, decisions out.
 *
 *   index  file  size   beyond dcl   decision
 *   no     yes   -      -            delete
 *   yes    yes   other  no           evict: the file is deleted, the layer stays in the bucket
 *   yes    yes   equal  no           keep
 *   yes    no    -      no           download, when it is needed
 *   yes    any   any    yes          drop: entry, file and object are deleted
 *
 * dcl is the disk-consistent LSN: an image is beyond it if its LSN is above it, a delta if it ends above dcl + 1. The
 * generation of a local file is not compared. In the bucket, an object must have the generation and the
 * shard of its entry.
 *
 * A place that was not examined is unknown, never absent.
 *
 * Source: Neon pageserver/src/tenant/timeline/init.rs.
 */
import { checkedItems, checkObject, checkText, itemsOf } from '../check-options.ts';
import type { StorageErrorCode } from '../errors.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import { describeGeneration } from './generation.ts';
import { isFutureLayer } from './index-part/check.ts';

/** A layer of an index, or a file of a layer. */
export interface LayerRecord {
  /** In canonical form, without a generation. */
  readonly name: string;
  /** Bytes. */
  readonly size: number | bigint;
  /** Undefined for data older than generations. */
  readonly generation: number | undefined;
  /** Shard that wrote the layer, 4 hex digits; undefined without shards. */
  readonly shard?: string | undefined;
}

/** A file or an object. */
export interface LayerFileRecord extends LayerRecord {
  /** For messages, and to read it. */
  readonly path: string;
}

/** The input of `reconcileLayers`. */
export interface ReconcileInput {
  /** Undefined if there is none, or it could not be looked up. */
  readonly index:
    | { readonly layers: Iterable<LayerRecord>; readonly diskConsistentLsn: Lsn }
    | undefined;
  /** Files of a pageserver, in the order of the listing. Undefined if they were not listed. */
  readonly local: Iterable<LayerFileRecord> | undefined;
  /** Objects of a bucket. Undefined if they were not listed. */
  readonly remote: Iterable<LayerFileRecord> | undefined;
}

/** The state of a layer, as far as it is known. */
export type LayerState =
  | 'ok'
  /** In the index, but missing. */
  | 'missing'
  /** Not in the index. */
  | 'extra'
  | 'size-differs'
  /** Only objects of other generations or shards exist. */
  | 'generation-differs'
  /** Beyond the disk-consistent LSN. */
  | 'future'
  /** Left by a writer or a download that did not finish. */
  | 'leftover'
  /** There is no index, or the files were not listed. */
  | 'unknown';

/** What a pageserver does with a layer at startup. */
export type LayerDecision = 'keep' | 'evict' | 'delete' | 'download' | 'drop';

/** A problem of a layer or a timeline. */
export interface CheckFinding {
  /** `error`: a read fails or could be wrong. `warning`: a pageserver handles it. */
  readonly severity: 'error' | 'warning';
  /** As of a `StorageError`. */
  readonly code: StorageErrorCode;
  /** One line of text. */
  readonly message: string;
  /** Bytes from the start of the file, if it is about a place in it. */
  readonly offset?: number | undefined;
  /** 36 hex digits, if it is about one entry. */
  readonly key?: string | undefined;
  /** 16 hex digits, if it is about one entry. */
  readonly lsn?: string | undefined;
}

/** A layer, with everything that is known about it. */
export interface ReconciledLayer {
  /** In canonical form, without a generation. */
  readonly name: string;
  /** The state of the layer. */
  readonly state: LayerState;
  /** Undefined if there is no index. */
  readonly decision: LayerDecision | undefined;
  /** Its entry in the index; undefined if there is no entry or no index. */
  readonly indexed: LayerRecord | undefined;
  /** The file that a pageserver would use; undefined if there is none, or files were not listed. */
  readonly local: LayerFileRecord | undefined;
  /** The object of the entry, or any other of the name; undefined if there is none, or objects were not listed. */
  readonly remote: LayerFileRecord | undefined;
  /** Why the state is not `ok`, and what else is wrong. */
  readonly findings: readonly CheckFinding[];
}

/** States in which a layer is not as the index says. */
const BAD_STATES: readonly LayerState[] = [
  'missing',
  'extra',
  'size-differs',
  'generation-differs',
];

/** Whether the layer is in order, as far as is known. */
export function isLayerOk(layer: Pick<ReconciledLayer, 'state' | 'findings'>): boolean {
  checkObject('layer', layer);
  const { state, findings } = layer;
  checkText('state of a layer', state);
  const all = checkedItems('findings', findings, (finding) => checkObject('finding', finding));
  return !BAD_STATES.includes(state) && all.every(({ severity }) => severity !== 'error');
}

/**
 * Compares an index with the files of a pageserver, the objects of a bucket, or both.
 *
 * Requires: names in canonical form.
 *
 * @returns The layers in byte order of their names.
 * @throws `invalid-input` for a name that is not a layer's.
 *
 * @example
 * const layers = reconcileLayers({ index, local: undefined, remote: objects });
 * const missing = layers.filter(({ state }) => state === 'missing');
 */
export function reconcileLayers(input: ReconcileInput): ReconciledLayer[] {
  checkObject('input', input);
  const layers = new Map<string, Known>();
  const known = (name: string): Known => {
    const found = layers.get(name);
    if (found !== undefined) return found;
    const made: Known = { indexed: undefined, local: [], remote: [] };
    layers.set(name, made);
    return made;
  };
  for (const layer of listed('layers', input.index?.layers)) known(layer.name).indexed = layer;
  for (const file of listed('local', input.local)) known(file.name).local.push(file);
  for (const object of listed('remote', input.remote)) known(object.name).remote.push(object);
  const about: About = {
    diskConsistentLsn: input.index?.diskConsistentLsn,
    isLocalKnown: input.local !== undefined,
    isRemoteKnown: input.remote !== undefined,
  };
  return [...layers.keys()].sort().map((name) => judge(name, layers.get(name) as Known, about));
}

function* listed<T extends LayerRecord>(
  what: string,
  records: Iterable<T> | undefined,
): Generator<T> {
  for (const record of itemsOf(what, records ?? [])) {
    checkObject(`record of ${what}`, record);
    checkText('name of a layer', record.name);
    yield record;
  }
}

interface Known {
  indexed: LayerRecord | undefined;
  readonly local: LayerFileRecord[];
  readonly remote: LayerFileRecord[];
}

interface About {
  /** Undefined without an index. */
  readonly diskConsistentLsn: Lsn | undefined;
  readonly isLocalKnown: boolean;
  readonly isRemoteKnown: boolean;
}

function judge(name: string, known: Known, about: About): ReconciledLayer {
  const { indexed } = known;
  // If several files have one name, a pageserver uses the last.
  const local = known.local.at(-1);
  const remote = known.remote.find((object) => isObjectOf(object, indexed)) ?? known.remote.at(-1);
  const findings = duplicates(known);
  const judged = { name, indexed, local, remote, findings };
  const { diskConsistentLsn } = about;
  if (diskConsistentLsn === undefined) return { ...judged, state: 'unknown', decision: undefined };
  if (indexed === undefined) return judgeExtra(judged);
  if (isFutureLayer(name, diskConsistentLsn)) {
    const dcl = formatLsn(diskConsistentLsn);
    const message = `layer is beyond the disk-consistent LSN ${dcl}: a pageserver drops it`;
    findings.push({ severity: 'warning', code: 'out-of-range', message });
    return { ...judged, state: 'future', decision: 'drop' };
  }
  const state = strongerState(
    remoteState(judged, indexed, about),
    localState(judged, indexed, about),
  );
  return { ...judged, state, decision: decisionOf(local, indexed, about) };
}

interface Judged extends Omit<ReconciledLayer, 'state' | 'decision' | 'findings'> {
  readonly findings: CheckFinding[];
}

function judgeExtra(judged: Judged): ReconciledLayer {
  const { local, remote, findings } = judged;
  if (local !== undefined) {
    const message = `file is not in the index: a pageserver deletes it: ${local.path}`;
    findings.push({ severity: 'warning', code: 'exists', message });
  }
  if (remote !== undefined) {
    const message = `object is not in the index: ${remote.path}`;
    findings.push({ severity: 'warning', code: 'exists', message });
  }
  const decision = local === undefined ? undefined : 'delete';
  return { ...judged, state: 'extra', decision };
}

function remoteState(
  { name, remote, findings }: Judged,
  indexed: LayerRecord,
  { isRemoteKnown, isLocalKnown }: About,
): LayerState {
  if (!isRemoteKnown) return isLocalKnown ? 'ok' : 'unknown';
  if (remote === undefined) {
    // It may be an L0 that has been compacted in the meantime.
    const severity = isL0(name) ? 'warning' : 'error';
    const message = 'layer is in the index, but there is no object of it';
    findings.push({ severity, code: 'not-found', message });
    return 'missing';
  }
  if (!isObjectOf(remote, indexed)) {
    const message =
      `object of ${placeOf(indexed)} is not there, ` +
      `but one of ${placeOf(remote)}: ${remote.path}`;
    findings.push({ severity: 'error', code: 'not-found', message });
    return 'generation-differs';
  }
  return sizeState(remote, indexed, findings);
}

function localState(
  { local, findings }: Judged,
  indexed: LayerRecord,
  { isRemoteKnown }: About,
): LayerState {
  if (local !== undefined) return sizeState(local, indexed, findings);
  // The object may be in the bucket, which was not examined.
  return isRemoteKnown ? 'ok' : 'unknown';
}

function sizeState(
  file: LayerFileRecord,
  indexed: LayerRecord,
  findings: CheckFinding[],
): LayerState {
  if (BigInt(file.size) === BigInt(indexed.size)) return 'ok';
  const isShort = BigInt(file.size) < BigInt(indexed.size);
  findings.push({
    severity: 'error',
    code: isShort ? 'truncated' : 'corrupt',
    message: `size differs: expected ${indexed.size} bytes, as the index says, found ${file.size}: ${file.path}`,
  });
  return 'size-differs';
}

const STRONGEST_FIRST: readonly LayerState[] = [
  'missing',
  'generation-differs',
  'size-differs',
  'unknown',
  'ok',
];

function strongerState(left: LayerState, right: LayerState): LayerState {
  return STRONGEST_FIRST.indexOf(left) <= STRONGEST_FIRST.indexOf(right) ? left : right;
}

function decisionOf(
  local: LayerFileRecord | undefined,
  indexed: LayerRecord,
  { isLocalKnown }: About,
): LayerDecision | undefined {
  if (!isLocalKnown) return undefined;
  if (local === undefined) return 'download';
  return BigInt(local.size) === BigInt(indexed.size) ? 'keep' : 'evict';
}

function isObjectOf(object: LayerRecord, indexed: LayerRecord | undefined): boolean {
  return (
    object.generation === indexed?.generation && shardOf(object.shard) === shardOf(indexed?.shard)
  );
}

function shardOf(shard: string | undefined): string {
  return shard ?? '0000';
}

function placeOf({ generation, shard }: LayerRecord): string {
  const words = describeGeneration(generation);
  return shardOf(shard) === '0000' ? words : `${words}, shard ${shard}`;
}

/** Other files of the same layer: a pageserver ignores local ones, and the index does not name the objects. */
function duplicates({ local, remote, indexed }: Known): CheckFinding[] {
  if (local.length < 2 && remote.length < 2) return [];
  const objects = remote.filter((object) => !isObjectOf(object, indexed));
  const unused = remote.length > objects.length ? objects : [];
  return [...local.slice(0, -1), ...unused].map(({ path }) => ({
    severity: 'warning',
    code: 'exists',
    message: `unused second file of the layer: ${path}`,
  }));
}

/** Whether a delta has the whole key space. */
function isL0(name: string): boolean {
  return /^0{36}-F{36}__[0-9A-F]{16}-/.test(name);
}
