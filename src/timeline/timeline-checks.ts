/**
 * What can be wrong with a timeline as a whole: its index, its layers together, files that are not layers.
 *
 * Source: Neon storage_scrubber/src/checks.rs, pageserver/src/tenant/checks.rs, and the start of a pageserver.
 */
import { isStorageError } from '../errors.ts';
import { parseManifestName } from '../manifest/manifest-format.ts';
import { compareGenerations, describeGeneration, type Generation } from './generation.ts';
import { checkIndexPart, type IndexFinding } from './index-part/check.ts';
import { findingOf } from './layer-check.ts';
import { LayerMap } from './layer-map/layer-map.ts';
import type { CheckFinding, ReconciledLayer } from './reconcile.ts';
import type { SurveyedFile, SurveyedIndex, TimelineSurvey } from './survey.ts';

/** Neon counts gaps of at least this many keys as holes. */
const HOLE_KEYS = 16_384;

/** What is known about the layers of a timeline as a whole. */
export interface MapCheck {
  readonly findings: readonly CheckFinding[];
  /** Ranges of keys without a layer, L0s not counted; undefined if there is no layer map. */
  readonly holes: number | undefined;
}

/** Findings about the index. */
export function checkIndex(survey: TimelineSurvey): CheckFinding[] {
  const { index, indexError, kind } = survey;
  if (indexError !== undefined) return [findingOf(indexError)];
  if (index === undefined) {
    const message = 'no index: whether the layers belong to the timeline is unknown';
    return kind === 'local' ? [warning('not-found', message)] : [];
  }
  const { content, generation } = index;
  return checkIndexPart(content, { generation })
    .filter(({ rule }) => !OF_LAYERS.includes(rule))
    .map(({ severity, rule, message, layer }) => {
      const text = layer === undefined ? message : `${message}: ${layer}`;
      return { severity, code: CODES[rule], message: `index: ${text}` };
    });
}

/**
 * A warning if the index is older than layers next to it: a pageserver of a later generation wrote them, and its index
 * is gone or was never uploaded.
 */
export function checkStaleIndex(
  { generation, layers }: SurveyedIndex,
  reconciled: readonly ReconciledLayer[],
): CheckFinding[] {
  let newest = generation;
  for (const indexed of layers) newest = later(newest, indexed.generation);
  const ofIndex = newest;
  let count = 0;
  for (const { state, local, remote } of reconciled) {
    const own = later(local?.generation, remote?.generation);
    if (state !== 'extra' || compareGenerations(own, ofIndex) <= 0) continue;
    count += 1;
    newest = later(newest, own);
  }
  if (count === 0) return [];
  const counted =
    count === 1 ? '1 layer that it does not have is' : `${count} layers that it does not have are`;
  const message =
    `index may be stale: it is of ${describeGeneration(ofIndex)}, and ${counted} of later ones, ` +
    `up to ${describeGeneration(newest)}`;
  return [warning('not-found', message)];
}

function later(one: Generation, other: Generation): Generation {
  return compareGenerations(one, other) < 0 ? other : one;
}

/** Reported for the layers themselves. */
const OF_LAYERS: readonly IndexFinding['rule'][] = ['future-layer', 'layer-map'];

const CODES: Readonly<Record<IndexFinding['rule'], CheckFinding['code']>> = {
  version: 'unsupported-version',
  'disk-consistent-lsn': 'out-of-range',
  'no-layers': 'empty',
  'gc-blocking': 'corrupt',
  'empty-layer': 'corrupt',
  'future-layer': 'out-of-range',
  'future-generation': 'out-of-range',
  'layer-map': 'out-of-order',
};

/**
 * Findings about files that are not layers: they prevent a pageserver from starting, or are useless in a bucket. A
 * manifest is useful, and only a problem for a pageserver.
 */
export function checkUnknownFiles({ unknown, kind }: TimelineSurvey): CheckFinding[] {
  const isManifest = ({ name }: SurveyedFile): boolean => parseManifestName(name) !== undefined;
  const others = kind === 'local' ? unknown : unknown.filter((file) => !isManifest(file));
  return others.map((file) => {
    const { path } = file;
    if (isManifest(file)) {
      const message = `manifest, which keeps a pageserver from loading the tenant if it is in its directory: ${path}`;
      return warning('invalid-input', message);
    }
    return kind === 'local'
      ? error(
          'invalid-input',
          `unknown file, which keeps a pageserver from loading the tenant: ${path}`,
        )
      : warning('invalid-input', `unknown object: ${path}`);
  });
}

/** The rule for a valid layer map, and holes. */
export function checkLayerMap(names: readonly string[]): MapCheck {
  let map: LayerMap;
  try {
    map = LayerMap.fromNames(names);
  } catch (caught) {
    if (!isStorageError(caught)) throw caught;
    return { findings: [findingOf(caught)], holes: undefined };
  }
  const violation = map.violation();
  return {
    findings: violation === undefined ? [] : [warning('out-of-order', violation)],
    holes: map.holes(HOLE_KEYS).length,
  };
}

function error(code: CheckFinding['code'], message: string): CheckFinding {
  return { severity: 'error', code, message };
}

function warning(code: CheckFinding['code'], message: string): CheckFinding {
  return { severity: 'warning', code, message };
}
