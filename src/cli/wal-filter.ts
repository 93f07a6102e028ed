/** Selects the records that `wal` prints: all options must match, as in pg_waldump. */
import { StorageError } from '../errors.ts';
import { forkNumberOf } from '../postgres/fork.ts';
import type { RecordSelection } from '../wal/record-selection.ts';
import { resourceManagerNumber } from './resource-manager-argument.ts';
import type { WalOptions } from './wal-options.ts';

/** Throws `usage` for an unknown resource manager, and for a block without its relation. */
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
