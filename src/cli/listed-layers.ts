/** The layers of a timeline as shown by `ls`: from its index, its files, and the layer map. */
import { isStorageError, type StorageError } from '../errors.ts';
import { KEY_SIZE } from '../layers/key.ts';
import { formatLayerName, parseLayerName } from '../layers/layer-name.ts';
import { type Lsn, parseLsn } from '../layers/lsn.ts';
import { parseManifestName } from '../manifest/manifest-format.ts';
import { branchPoints } from '../timeline/branch-points.ts';
import { LayerTable, MAXIMUM_LAYERS } from '../timeline/layer-map/layer-table.ts';
import { visibleNames } from '../timeline/layer-map/visibility.ts';
import type { ReconciledLayer } from '../timeline/reconcile.ts';
import { reconcileSurveys } from '../timeline/reconcile-surveys.ts';
import type { TimelineSurvey } from '../timeline/survey.ts';
import type { Context } from './context.ts';
import { type SurveyOptions, surveySource } from './survey-source.ts';

export interface ListedLayer {
  /** In canonical form; keys and LSNs are parsed from it when they are shown. */
  readonly name: string;
  readonly kind: 'delta' | 'image';
  readonly level: 'L0' | 'L1' | 'image';
  readonly size: number | bigint | undefined;
  readonly generation: number | undefined;
  readonly shard: string | undefined;
  /** Null if unknown. */
  readonly inIndex: boolean | null;
  /** Null if unknown. */
  readonly present: boolean | null;
  /** Null if the layers do not form a layer map. */
  readonly visible: boolean | null;
}

/** The listing of a timeline, as far as it can be read. */
export interface Listing {
  /** In byte order of the names. */
  readonly layers: readonly ListedLayer[];
  /** The error of each index that cannot be read; its layers are then known only by their files. */
  readonly indexErrors: readonly StorageError[];
}

/** Throws as `surveySource`. */
export async function listedLayers(
  context: Context,
  source: string,
  options: SurveyOptions,
): Promise<Listing> {
  const layers: ListedLayer[] = [];
  const surveys = await surveySource(context, source, options);
  const indexErrors = surveys.flatMap(({ indexError }) => indexError ?? []);
  for (const survey of surveys) {
    const reconciled = reconcileSurveys([survey]);
    const points = [...lastLsn(survey), ...(await branchPoints(survey, context.signal))];
    const visible = reachableNames(context, reconciled.map(nameOf), points);
    for (const layer of reconciled) layers.push(listed(layer, survey, visible));
  }
  // The layers of one survey are in order.
  if (surveys.length < 2) return { layers, indexErrors };
  const sorted = oncePerObject(layers).sort((left, right) => (left.name < right.name ? -1 : 1));
  return { layers: sorted, indexErrors };
}

/** After a split, the shards share the layers of their parent. */
function oncePerObject(layers: readonly ListedLayer[]): ListedLayer[] {
  const byObject = new Map<string, ListedLayer>();
  for (const layer of layers) {
    const object = `${layer.name} ${layer.generation} ${layer.shard}`;
    const other = byObject.get(object) ?? layer;
    byObject.set(object, {
      ...layer,
      inIndex: either(other.inIndex, layer.inIndex),
      present: either(other.present, layer.present),
      visible: either(other.visible, layer.visible),
    });
  }
  return [...byObject.values()];
}

function either(left: boolean | null, right: boolean | null): boolean | null {
  if (left === true || right === true) return true;
  return left === null ? null : right;
}

/** For a list of names, nothing else is known. Manifests are left out. Throws `invalid-input` for any other name. */
export async function layersOfNames(context: Context, given: readonly string[]): Promise<Listing> {
  const names = given.filter((text) => parseManifestName(text) === undefined);
  const parsed = names.map((text) => {
    const { generation, ...name } = parseLayerName(text);
    return { name: formatLayerName(name), generation };
  });
  const visible = reachableNames(
    context,
    parsed.map(({ name }) => name),
    [],
  );
  const layers = parsed
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .map(({ name, generation }) => ({
      name,
      ...kindOf(name),
      size: undefined,
      generation: generation === undefined ? undefined : Number.parseInt(generation, 16),
      shard: undefined,
      inIndex: null,
      present: null,
      visible: visible === undefined ? null : visible.has(name),
    }));
  return { layers, indexErrors: [] };
}

/** The JSON of a layer. None of its texts needs escaping, and creating an object for each of 100,000 layers is slow. */
export function layerJson(layer: ListedLayer): string {
  const { name, kind, level, size, generation, shard } = layer;
  const { keyStart, keyEnd, lsnStart, lsnEnd } = digitsOf(name);
  const lsns =
    lsnEnd === undefined
      ? `"lsn":"${lsnStart}"`
      : `"lsn_start":"${lsnStart}","lsn_end":"${lsnEnd}"`;
  const generationField = generation === undefined ? '' : `"generation":${generation},`;
  const shardField = shard === undefined ? '' : `"shard":"${shard}",`;
  return (
    `{"name":"${name}","kind":"${kind}","level":"${level}",` +
    `"key_start":"${keyStart}","key_end":"${keyEnd}",${lsns},` +
    `"size":${size === undefined ? null : sizeJson(size)},${generationField}${shardField}` +
    `"in_index":${layer.inIndex},"present":${layer.present},"visible":${layer.visible}}`
  );
}

/** The hex digits of a name. */
export interface NameParts {
  readonly keyStart: string;
  readonly keyEnd: string;
  /** The LSN of an image. */
  readonly lsnStart: string;
  /** Undefined for an image. */
  readonly lsnEnd: string | undefined;
}

const KEY_DIGITS = 2 * KEY_SIZE;
const LSN_DIGITS = 16;
const LSN_AT = 2 * KEY_DIGITS + '-__'.length;
/** The name of a delta continues. */
const IMAGE_LENGTH = LSN_AT + LSN_DIGITS;

/** Requires: a canonical name. */
export function digitsOf(name: string): NameParts {
  return {
    keyStart: name.slice(0, KEY_DIGITS),
    keyEnd: name.slice(KEY_DIGITS + 1, 2 * KEY_DIGITS + 1),
    lsnStart: name.slice(LSN_AT, IMAGE_LENGTH),
    lsnEnd: name.length === IMAGE_LENGTH ? undefined : name.slice(IMAGE_LENGTH + 1),
  };
}

/** A decimal string beyond what a number can hold. */
function sizeJson(size: number | bigint): string {
  return size <= Number.MAX_SAFE_INTEGER ? `${size}` : `"${size}"`;
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
  const file = indexed ?? local ?? remote;
  const { kind, level } = kindOf(name);
  return {
    name,
    kind,
    level,
    size: file?.size,
    generation: file?.generation,
    shard: file?.shard,
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

const WHOLE_KEY_SPACE = `${'0'.repeat(KEY_DIGITS)}-${'F'.repeat(KEY_DIGITS)}__`;

/** Requires: a canonical name. */
function kindOf(name: string): Pick<ListedLayer, 'kind' | 'level'> {
  if (name.length === IMAGE_LENGTH) return { kind: 'image', level: 'image' };
  return { kind: 'delta', level: name.startsWith(WHOLE_KEY_SPACE) ? 'L0' : 'L1' };
}

function lastLsn({ index }: TimelineSurvey): Lsn[] {
  return index === undefined ? [] : [index.content.fields.metadata.diskConsistentLsn];
}

/** The layers that reads at these LSNs, or at the end of all layers, can reach. */
function reachableNames(
  { reporter }: Context,
  names: readonly string[],
  points: readonly Lsn[],
): ReadonlySet<string> | undefined {
  const readPoints = points.length === 0 ? [lastOf(names)] : points;
  try {
    return visibleNames(LayerTable.fromNames(names, MAXIMUM_LAYERS), readPoints);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    reporter.warning(`the layers do not form a layer map: ${error.message}`);
    return undefined;
  }
}

/** The highest LSN in the names. Hex digits of equal length sort by their value. */
function lastOf(names: readonly string[]): Lsn {
  let lastImage = '0';
  let highestEnd = '0';
  for (const name of names) {
    const { lsnStart, lsnEnd } = digitsOf(name);
    if (lsnEnd === undefined && lsnStart > lastImage) lastImage = lsnStart;
    if (lsnEnd !== undefined && lsnEnd > highestEnd) highestEnd = lsnEnd;
  }
  const image = parseLsn(lastImage);
  const end = parseLsn(highestEnd);
  return end > image ? end - 1n : image;
}
