/** The layers of a timeline as `ls` shows them: by its index, its files, and the layer map. */
import { isStorageError } from '../errors.ts';
import { formatKey, type KeyRange } from '../layers/key.ts';
import { formatLayerName, parseLayerName } from '../layers/layer-name.ts';
import { formatLsn, type Lsn, type LsnRange } from '../layers/lsn.ts';
import { branchPoints } from '../timeline/branch-points.ts';
import { LayerMap } from '../timeline/layer-map/layer-map.ts';
import type { ReconciledLayer } from '../timeline/reconcile.ts';
import { reconcileSurveys } from '../timeline/reconcile-surveys.ts';
import type { TimelineSurvey } from '../timeline/survey.ts';
import type { Context } from './context.ts';
import type { Json } from './json.ts';
import { type SurveyOptions, surveySource } from './survey-source.ts';

export interface ListedLayer {
  readonly name: string;
  readonly kind: 'delta' | 'image';
  readonly level: 'L0' | 'L1' | 'image';
  readonly keyRange: KeyRange;
  readonly lsnRange: LsnRange;
  readonly size: number | bigint | undefined;
  readonly generation: number | undefined;
  readonly shard: string | undefined;
  /** Null is unknown. */
  readonly inIndex: boolean | null;
  /** Null is unknown. */
  readonly present: boolean | null;
  /** Null if the layers together make no layer map. */
  readonly visible: boolean | null;
}

/** In byte order of the names. Throws as `surveySource`. */
export async function listedLayers(
  context: Context,
  source: string,
  options: SurveyOptions,
): Promise<ListedLayer[]> {
  const layers: ListedLayer[] = [];
  for (const survey of await surveySource(context, source, options)) {
    if (survey.indexError !== undefined) context.reporter.warning(survey.indexError.message);
    const reconciled = reconcileSurveys([survey]);
    const points = [...lastLsn(survey), ...(await branchPoints(survey, context.signal))];
    const visible = visibleNames(context, reconciled.map(nameOf), points);
    for (const layer of reconciled) layers.push(listed(layer, survey, visible));
  }
  return layers.sort((left, right) => (left.name < right.name ? -1 : 1));
}

/** Of names alone, nothing else is known. Throws `invalid-input` for what is not a layer's name. */
export async function layersOfNames(
  context: Context,
  given: readonly string[],
): Promise<ListedLayer[]> {
  const parsed = given.map((text) => {
    const { generation, ...name } = parseLayerName(text);
    return { name: formatLayerName(name), generation };
  });
  const visible = visibleNames(
    context,
    parsed.map(({ name }) => name),
    [],
  );
  return parsed
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .map(({ name, generation }) => ({
      ...factsOf(name),
      size: undefined,
      generation: generation === undefined ? undefined : Number.parseInt(generation, 16),
      shard: undefined,
      inIndex: null,
      present: null,
      visible: visible === undefined ? null : visible.has(name),
    }));
}

export function layerJson(layer: ListedLayer): Json {
  const { name, kind, level, keyRange, lsnRange, size, generation, shard } = layer;
  const lsns =
    kind === 'image'
      ? { lsn: formatLsn(lsnRange.start) }
      : { lsn_start: formatLsn(lsnRange.start), lsn_end: formatLsn(lsnRange.end) };
  return {
    name,
    kind,
    level,
    key_start: formatKey(keyRange.start),
    key_end: formatKey(keyRange.end),
    ...lsns,
    size: size === undefined ? null : sizeJson(size),
    generation,
    shard,
    in_index: layer.inIndex,
    present: layer.present,
    visible: layer.visible,
  };
}

/** A decimal string beyond what a number can hold. */
function sizeJson(size: number | bigint): number | string {
  return BigInt(size) <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : String(size);
}

function nameOf({ name }: ReconciledLayer): string {
  return name;
}

function listed(
  layer: ReconciledLayer,
  survey: TimelineSurvey,
  visible: ReadonlySet<string> | undefined,
): ListedLayer {
  const { name, indexed, local, remote } = layer;
  const file = local ?? remote;
  const { size, generation, shard } = indexed ?? file ?? {};
  return {
    ...factsOf(name),
    size,
    generation,
    shard,
    inIndex: survey.index === undefined ? null : indexed !== undefined,
    present: presenceOf(layer, survey),
    visible: visible === undefined ? null : visible.has(name),
  };
}

/** An object of another generation is another layer. */
function presenceOf(
  { state, local, remote }: ReconciledLayer,
  { isListed }: TimelineSurvey,
): boolean | null {
  if (!isListed) return null;
  return state !== 'generation-differs' && (local ?? remote) !== undefined;
}

function factsOf(
  name: string,
): Pick<ListedLayer, 'name' | 'kind' | 'level' | 'keyRange' | 'lsnRange'> {
  const parsed = parseLayerName(name);
  const { kind, keyRange } = parsed;
  if (parsed.kind === 'image') {
    const lsnRange = { start: parsed.lsn, end: parsed.lsn + 1n };
    return { name, kind, level: 'image', keyRange, lsnRange };
  }
  const isL0 = /^0{36}-F{36}__/.test(name);
  return { name, kind, level: isL0 ? 'L0' : 'L1', keyRange, lsnRange: parsed.lsnRange };
}

function lastLsn({ index }: TimelineSurvey): Lsn[] {
  return index === undefined ? [] : [index.content.fields.metadata.diskConsistentLsn];
}

/** What reads at these LSNs, or at the end of all layers, can reach. */
function visibleNames(
  { reporter }: Context,
  names: readonly string[],
  points: readonly Lsn[],
): ReadonlySet<string> | undefined {
  const readPoints = points.length === 0 ? [lastOf(names)] : points;
  try {
    return new Set(LayerMap.fromNames(names).visibility(readPoints).visible);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    reporter.warning(`the layers make no layer map: ${error.message}`);
    return undefined;
  }
}

function lastOf(names: readonly string[]): Lsn {
  let last = 0n;
  for (const name of names) {
    const { lsnRange } = factsOf(name);
    if (lsnRange.end - 1n > last) last = lsnRange.end - 1n;
  }
  return last;
}
