/** The names of `--rmgr`. */
import { StorageError } from '../errors.ts';
import { unknownName } from '../nearest-name.ts';
import { resourceManagerName, resourceManagers } from '../wal/resource-managers.ts';

const HIGHEST_NUMBER = 0xff;

/** What numbers in reserve are called; not a name of one. */
const WITHOUT_NAME = 'UNKNOWN';

/**
 * The number of a resource manager, by its name in any of the versions; `custom128` is one without a name of its
 * own. Case does not matter. Throws `usage` for any other name.
 */
export function resourceManagerNumber(name: string, versions: readonly number[]): number {
  for (let id = 0; id <= HIGHEST_NUMBER; id += 1) {
    const names = versions.map((version) => resourceManagerName(id, version));
    if (names.some((known) => known !== WITHOUT_NAME && isSame(known, name))) return id;
  }
  const candidates = versions.flatMap((version) => resourceManagers(version));
  const names = new Set(candidates.map((manager) => manager.name));
  throw new StorageError('usage', unknownName('resource manager', name, [...names]));
}

function isSame(left: string, right: string): boolean {
  return left.toLowerCase() === right.toLowerCase();
}
