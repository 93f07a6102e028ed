/** Which records `wal` prints: all options must agree, as those of pg_waldump. */
import { StorageError } from '../errors.ts';
import { forkNumberOf } from '../postgres/fork.ts';
import type { RecordScanner } from '../wal/record-scanner.ts';
import { resourceManagerNumber } from './resource-manager-argument.ts';
import type { WalOptions } from './wal-options.ts';

/** Whether a record is selected that was just scanned. */
export type WalFilter = (record: RecordScanner) => boolean;

/** Throws `usage` for an unknown resource manager, and for a block without its relation. */
export function walFilter(options: WalOptions, majorVersion: number): WalFilter {
  const { rmgr, xid, rel, fork, block, fullpage } = options;
  if (block !== undefined && rel === undefined) {
    throw new StorageError('usage', { what: '--block is that of a relation: give --rel, too' });
  }
  const managers =
    rmgr === undefined
      ? undefined
      : new Set(rmgr.map((name) => resourceManagerNumber(name, [majorVersion])));
  const forkNumber = fork === undefined ? undefined : forkNumberOf(fork);
  const isPlace = (record: RecordScanner, at: number): boolean =>
    (rel === undefined ||
      (record.relnodes[at] === rel.relnode &&
        record.spcnodes[at] === rel.spcnode &&
        record.dbnodes[at] === rel.dbnode)) &&
    (forkNumber === undefined || record.forkNumbers[at] === forkNumber) &&
    (block === undefined || record.blknos[at] === block);
  const readsPlaces = rel !== undefined || fork !== undefined;
  return (record) =>
    (xid === undefined || record.xid === xid) &&
    (managers === undefined || managers.has(record.resourceManager)) &&
    (!readsPlaces || hasBlock(record, isPlace)) &&
    (fullpage !== true || hasBlock(record, hasImage));
}

function hasBlock(
  record: RecordScanner,
  test: (record: RecordScanner, at: number) => boolean,
): boolean {
  for (let at = 0; at < record.blockCount; at += 1) if (test(record, at)) return true;
  return false;
}

function hasImage(record: RecordScanner, at: number): boolean {
  return record.hasImages[at] === 1;
}
