/**
 * Reconciles the surveys of one place, or of two: a pageserver's directory and a bucket, or two copies of either.
 */
import { type ReconciledLayer, reconcileLayers } from './reconcile.ts';
import type { TimelineSurvey } from './survey.ts';

/** The layers in byte order of their names. The first index that was found is used. */
export function reconcileSurveys(surveys: readonly TimelineSurvey[]): ReconciledLayer[] {
  const found = surveys.find(({ index }) => index !== undefined)?.index;
  const index = found && {
    layers: found.layers,
    diskConsistentLsn: found.content.fields.metadata.diskConsistentLsn,
  };
  const [first, second] = surveys.filter(({ isListed }) => isListed);
  const layersOf = (kind: TimelineSurvey['kind']) =>
    [first, second].find((survey) => survey?.kind === kind)?.layers;
  const layers = reconcileLayers({
    index,
    local: layersOf('local'),
    remote: layersOf('remote'),
  });
  if (first?.kind !== second?.kind || second === undefined) return layers;
  const { kind } = second;
  const copy = reconcileLayers({
    index,
    local: undefined,
    remote: undefined,
    [kind]: second.layers,
  });
  return withCopy(layers, copy, second.store.name);
}

/** A problem in the second of two places of one kind is a finding of the layer. */
function withCopy(
  layers: readonly ReconciledLayer[],
  copies: readonly ReconciledLayer[],
  place: string,
): ReconciledLayer[] {
  const rest = new Map(copies.map((copy) => [copy.name, copy]));
  const merged = layers.map((layer) => {
    const copy = rest.get(layer.name);
    rest.delete(layer.name);
    if (copy === undefined) return layer;
    const findings = copy.findings.map((finding) => ({
      ...finding,
      message: `${place}: ${finding.message}`,
    }));
    const state = layer.state === 'ok' ? copy.state : layer.state;
    return { ...layer, state, findings: [...layer.findings, ...findings] };
  });
  return [...merged, ...rest.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
}
