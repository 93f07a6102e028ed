/**
 * The line of pg_waldump for a record:
 *
 *   rmgr: Heap        len (rec/tot):     54/    54, tx:        733, lsn: 0/01708A28, prev 0/017089F0,
 *   desc: INSERT off 5 flags 0x00, blkref #0: rel 1663/5/16384 blk 0 FPW
 *
 * `rec` is the length without images. A fork has its name if it is not the main one; `FPW for WAL verification` is an
 * image that is for checks only.
 * Source: Postgres src/bin/pg_waldump/pg_waldump.c, XLogRecGetBlockRefInfo.
 */
import type { Lsn } from '../../layers/lsn.ts';
import { splitLsn } from '../../layers/lsn-halves.ts';
import { FORK_NAMES } from '../../postgres/fork.ts';
import type { BlockReference, WalRecord } from '../record-format.ts';
import { recordTypeOf, resourceManagerName } from '../resource-managers.ts';
import { checkDescribeOptions, type DescribeOptions, descriptionOf } from './describe.ts';
import { hexWord } from './hex.ts';

/** Where a record stands, which it does not know itself. */
export interface RecordPlace {
  /** LSN of its first byte. */
  readonly startLsn: Lsn;
  /** Its whole length in bytes, without padding. */
  readonly length: number;
}

/**
 * Formats a record as pg_waldump prints it, in one line without its end.
 *
 * @param options Times have the form of pg_waldump unless they say otherwise.
 * @throws As `describeWalRecord`.
 */
export function formatWaldumpLine(
  record: WalRecord,
  place: RecordPlace,
  options: DescribeOptions,
): string {
  checkDescribeOptions(options);
  const description = descriptionOf(record, { times: 'waldump', ...options });
  return waldumpLine(record, place, { majorVersion: options.majorVersion, description });
}

/** As `formatWaldumpLine`, for many records, with a description of each: all else in the line is plain text. */
export function waldumpLine(
  record: WalRecord,
  place: RecordPlace,
  { majorVersion, description }: { readonly majorVersion: number; readonly description: string },
): string {
  const manager = resourceManagerName(record.resourceManager, majorVersion);
  const recordLength = place.length - imagesLength(record.blocks);
  return (
    `rmgr: ${manager}${BLANKS[11 - manager.length] ?? ''} len (rec/tot): ` +
    `${padded(recordLength, 6)}/${padded(place.length, 6)}, tx: ${padded(record.xid, 10)}, ` +
    `lsn: ${paddedLsn(place.startLsn)}, prev ${paddedLsn(record.prevLsn)}, ` +
    `desc: ${recordTypeOf(record, majorVersion)} ${description}` +
    blockReferences(record.blocks)
  );
}

function imagesLength(blocks: readonly BlockReference[]): number {
  let length = 0;
  for (const { image } of blocks) if (image !== undefined) length += image.bytes.length;
  return length;
}

function blockReferences(blocks: readonly BlockReference[]): string {
  let text = '';
  for (const { id, spcnode, dbnode, relnode, forkNumber, blkno, image } of blocks) {
    const fork = forkNumber === 0 ? '' : ` fork ${FORK_NAMES[forkNumber] ?? forkNumber}`;
    text += `, blkref #${id}: rel ${spcnode}/${dbnode}/${relnode}${fork} blk ${blkno}`;
    if (image !== undefined) text += image.apply ? ' FPW' : ' FPW for WAL verification';
  }
  return text;
}

/** Blanks by their number. */
const BLANKS = Array.from({ length: 12 }, (_, count) => ' '.repeat(count));

function padded(value: number, width: number): string {
  const digits = String(value);
  return `${BLANKS[width - digits.length] ?? ''}${digits}`;
}

/** `%X/%08X`. */
function paddedLsn(lsn: Lsn): string {
  const { high, low } = splitLsn(lsn);
  return `${high === 0 ? '0' : high.toString(16).toUpperCase()}/${hexWord(low)}`;
}
