/** Checks individually named layers of any timeline, for jobs that are divided by layer names. */
import { isStorageError } from '../errors.ts';
import { layerNameOf } from '../layers/layer-file/open-file.ts';
import { formatLayerName } from '../layers/layer-name.ts';
import type { CheckedLayer, CheckOptions } from './check.ts';
import { CheckPool, LAYERS_PER_THREAD, type LayerPlace } from './check-pool.ts';
import { inOrder } from './in-order.ts';
import { failedCheck, type LayerCheckResult, type LayerExpectation } from './layer-check.ts';

/** Where a named layer is read from. Throws for a name that is not that of a file or object. */
export type PlaceOfName = (name: string) => Promise<LayerPlace>;

export interface CheckFilesOptions
  extends Pick<CheckOptions, 'parallel' | 'maximumFindings' | 'signal'> {
  readonly depth: LayerExpectation['depth'];
  readonly placeOf: PlaceOfName;
  /** The name as it is shown in results, without anything that may be a credential. */
  readonly shownName: (name: string) => string;
}

/** In the order of the names. Throws `aborted`, and errors of the iterable of names. */
export async function* checkFiles(
  names: AsyncIterable<string>,
  options: CheckFilesOptions,
): AsyncGenerator<CheckedLayer> {
  const { depth, parallel, signal } = options;
  const pool = new CheckPool({ threadCount: depth === 'every-byte' ? parallel : 0, signal });
  try {
    yield* inOrder(names, parallel * LAYERS_PER_THREAD, (name) => checkNamed(name, pool, options));
  } finally {
    await pool.close();
  }
}

async function checkNamed(
  name: string,
  pool: CheckPool,
  { depth, maximumFindings, placeOf, shownName }: CheckFilesOptions,
): Promise<CheckedLayer> {
  const shown = shownName(name);
  const layer = layerNameOf(shown);
  const expected = {
    name: layer && formatLayerName({ ...layer, generation: undefined }),
    tenantId: /(?:^|\/)tenants\/([0-9a-f]{32})(?:-[0-9a-f]{4})?\//.exec(shown)?.[1],
    depth,
    maximumFindings,
  };
  return lineOf(shown, await resultOf(() => placeOf(name), expected, pool));
}

async function resultOf(
  place: () => Promise<LayerPlace>,
  expected: LayerExpectation,
  pool: CheckPool,
): Promise<LayerCheckResult> {
  try {
    return await pool.check(await place(), expected);
  } catch (error) {
    if (!isStorageError(error) || error.code === 'aborted' || error.code === 'closed') throw error;
    return failedCheck(error);
  }
}

function lineOf(
  name: string,
  { findings, errors, warnings, failure }: LayerCheckResult,
): CheckedLayer {
  if (failure !== undefined) {
    const isAbsent = failure.code === 'not-found';
    return {
      name,
      state: isAbsent ? 'missing' : 'unknown',
      ok: false,
      decision: undefined,
      findings: [failure],
      errors: 1,
      warnings: 0,
      isFailed: !isAbsent,
    };
  }
  const state = 'ok';
  const isFailed = false;
  return {
    name,
    state,
    ok: errors === 0,
    decision: undefined,
    findings,
    errors,
    warnings,
    isFailed,
  };
}
