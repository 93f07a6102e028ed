/** Selects WAL records by the options of a command. */
import { StorageError } from '../errors.ts';
import { unknownName } from '../nearest-name.ts';
import { forkNumberOf } from '../postgres/fork.ts';
import type { RecordSelection } from '../wal/record-selection.ts';
import { resourceManagerName, resourceManagers } from '../wal/resource-managers.ts';
import type { WalOptions } from './wal-options.ts';

/**
 * The records that `wal` prints: all options must match, as in pg_waldump. Throws `usage` for an unknown
 * resource manager, and for a block without its relation.
 */
export function walSelection(options: WalOptions, majorVersion: number): RecordSelection {
  const { rmgr, xid, rel, fork, block, fullpage } = options;
  if (block !== undefined && rel === undefined) {
    throw new StorageError('usage', { what: '--block needs --rel' });
  }
  return {
    xid,
    resourceManagers: rmgr?.map((name) => resourceManagerNumber(name, [majorVersion])),
    relation: rel,
    forkNumber: fork === undefined ? undefined : forkNumberOf(fork),
    block,
    hasImage: fullpage,
  };
}

const HIGHEST_NUMBER = 0xff;

/** The name of all reserved numbers, which identifies none of them. */
const WITHOUT_NAME = 'UNKNOWN';

/**
 * The number of a resource manager, by its name in any of the versions; `custom128` is one without a
 * name. Case does not matter. Throws `usage` for any other name.
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
