/**
 * Conditions for selecting records, as data that can be sent to another thread. All given conditions must hold.
 */
import type { RecordScanner } from './record-scanner.ts';

/** Whether the record that was just scanned is selected. */
export type RecordFilter = (record: RecordScanner) => boolean;

/** Conditions on a record; undefined ones are ignored. */
export interface RecordSelection {
  readonly xid?: number | undefined;
  /** Numbers of the resource managers. */
  readonly resourceManagers?: readonly number[] | undefined;
  /** A relation of which the record changes a block. */
  readonly relation?:
    | { readonly spcnode: number; readonly dbnode: number; readonly relnode: number }
    | undefined;
  /** Fork of that block. */
  readonly forkNumber?: number | undefined;
  /** Number of that block. */
  readonly block?: number | undefined;
  /** Whether the record must contain a page image. */
  readonly hasImage?: boolean | undefined;
}

/** Returns: undefined if every record is selected. */
export function recordFilter(selection: RecordSelection): RecordFilter | undefined {
  const { xid, resourceManagers, relation, forkNumber, block, hasImage } = selection;
  const managers = resourceManagers === undefined ? undefined : new Set(resourceManagers);
  const readsPlaces = relation !== undefined || forkNumber !== undefined;
  const readsImages = hasImage === true;
  if (xid === undefined && managers === undefined && !readsPlaces && !readsImages) return undefined;
  const isPlace = (record: RecordScanner, at: number): boolean =>
    (relation === undefined ||
      (record.relnodes[at] === relation.relnode &&
        record.spcnodes[at] === relation.spcnode &&
        record.dbnodes[at] === relation.dbnode)) &&
    (forkNumber === undefined || record.forkNumbers[at] === forkNumber) &&
    (block === undefined || record.blknos[at] === block);
  return (record) =>
    (xid === undefined || record.xid === xid) &&
    (managers === undefined || managers.has(record.resourceManager)) &&
    (!readsPlaces || hasBlock(record, isPlace)) &&
    (!readsImages || hasBlock(record, hasImageAt));
}

function hasBlock(
  record: RecordScanner,
  test: (record: RecordScanner, at: number) => boolean,
): boolean {
  for (let at = 0; at < record.blockCount; at += 1) if (test(record, at)) return true;
  return false;
}

function hasImageAt(record: RecordScanner, at: number): boolean {
  return record.hasImages[at] === 1;
}
