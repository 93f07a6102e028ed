/** All workloads by name; a module is loaded only where it runs. */
import { scaleOf } from '../harness/scale.mjs';

const LOADERS = {
  append: () => import('./append.mjs'),
  delta: () => import('./delta.mjs'),
  ingest: () => import('./ingest.mjs'),
  image: () => import('./image.mjs'),
  scan: () => import('./scan.mjs'),
  points: () => import('./points.mjs'),
  overwrite: () => import('./overwrite.mjs'),
  cli: () => import('./cli.mjs'),
  map: () => import('./map.mjs'),
  timeline: () => import('./timeline.mjs'),
  check: () => import('./check.mjs'),
  wal: () => import('./wal.mjs'),
  'ingest-wal': () => import('./ingest-wal.mjs'),
  'import-pgdata': () => import('./import-pgdata.mjs'),
  merge: () => import('./merge.mjs'),
  diff: () => import('./diff.mjs'),
  manifest: () => import('./manifest.mjs'),
  growth: () => import('./growth.mjs'),
  memory: () => import('./memory.mjs'),
};

/** Writes 10 GiB: only on request. */
const NOT_BY_DEFAULT = ['memory'];

export function selectNames(only) {
  const all = Object.keys(LOADERS);
  if (only === undefined) return all.filter((name) => !NOT_BY_DEFAULT.includes(name));
  const unknown = only.filter((name) => !all.includes(name));
  if (unknown.length > 0) throw new RangeError(`no workload ${unknown.join(', ')}`);
  return only;
}

/**
 * A workload has groups, a table each: `title`, `fixtures` that it reads, `rows`, and `runs` where
 * it wants its own number. A row has a `name`, a `role` (floor, layerfile, peer), a `shortName` for
 * the ratios, and `measure(context)`, which returns `{ operations, bytes, note }`.
 */
export async function loadWorkload(name, quick) {
  const { groupsOf } = await LOADERS[name]();
  return { groups: groupsOf(scaleOf(quick)) };
}
