/** WAL records in values: their description, their JSON, and filters. */
import { isStorageError } from '../errors.ts';
import { formatLsn } from '../layers/lsn.ts';
import { viewValue } from '../layers/value-format.ts';
import { describeWalRecord } from '../wal/describe/describe.ts';
import type { HeapDialect } from '../wal/heap-dialect.ts';
import { decodeWalRecord, type WalRecord } from '../wal/record-format.ts';
import { WAL_RECORD_HEADER_SIZE } from '../wal/record-scanner.ts';
import type { OptionValues } from './command.ts';
import type { Json } from './json.ts';
import { resourceManagerNumber } from './record-filter.ts';
import type { RECORD_FILTERS } from './record-options.ts';
import { storageErrorJson } from './reporter.ts';
import { blocksJson } from './wal-record-json.ts';

/** What is known about the records. */
export interface RecordVersion {
  readonly majorVersion: number;
  readonly dialect: HeapDialect | undefined;
}

/** Describes records of a version. */
export interface RecordReading {
  readonly text: (bytes: Uint8Array) => string;
  readonly json: (bytes: Uint8Array) => Json;
}

/** The bytes of the record in a serialized value of a delta layer; undefined for another kind of value. */
function recordIn(type: string, bytes: Uint8Array): Uint8Array | undefined {
  if (type !== 'wal') return undefined;
  const value = viewValue(bytes);
  return value.type === 'wal' ? value.bytes : undefined;
}

/** The record of a value as JSON; `{"error"}` if it cannot be read, as its hex form remains. */
export function recordJson(bytes: Uint8Array, version: RecordVersion): Json {
  try {
    const record = decodeWalRecord(bytes, version.majorVersion);
    const { resourceManager, recordType, description } = describeWalRecord(record, version);
    return {
      resource_manager: resourceManager,
      record_type: recordType,
      xid: record.xid,
      prev_lsn: formatLsn(record.prevLsn),
      record_length: bytes.length,
      description,
      blocks: blocksJson(record, version),
    };
  } catch (error) {
    if (!isStorageError(error)) throw error;
    return { error: storageErrorJson(error) };
  }
}

/** As `recordJson`, for a value that may be of another kind. */
export function recordJsonOf(
  type: string,
  value: Uint8Array,
  reading: RecordReading | undefined,
): Json | undefined {
  if (reading === undefined) return undefined;
  const bytes = recordIn(type, value);
  return bytes === undefined ? undefined : reading.json(bytes);
}

/** `Heap/INSERT off 3 flags 0x08 xid 673, 1663/5/16384 blk 0`; for a record that cannot be read, the error. */
export function recordText(bytes: Uint8Array, version: RecordVersion): string {
  try {
    const record = decodeWalRecord(bytes, version.majorVersion);
    const { resourceManager, recordType, description } = describeWalRecord(record, version);
    const words = [`${resourceManager}/${recordType}`, description.trim(), `xid ${record.xid}`];
    return words.filter((word) => word !== '').join(' ') + blocksText(record);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    return error.message;
  }
}

/** As `recordText`, for a value that may be of another kind; empty if it is, or if nothing is described. */
export function recordTextOf(
  type: string,
  value: Uint8Array,
  reading: RecordReading | undefined,
): string {
  if (reading === undefined) return '';
  const bytes = recordIn(type, value);
  return bytes === undefined ? '' : reading.text(bytes);
}

function blocksText({ blocks }: WalRecord): string {
  return blocks
    .map(({ spcnode, dbnode, relnode, forkNumber, blkno, image }) => {
      const fork = forkNumber === 0 ? '' : ` fork ${forkNumber}`;
      return `, ${spcnode}/${dbnode}/${relnode}${fork} blk ${blkno}${image === undefined ? '' : ' FPW'}`;
    })
    .join('');
}

/** Whether a serialized value is a wanted record. */
export type ValueFilter = (type: string, value: Uint8Array) => boolean;

/** A layer does not state its version. The numbers are the same in all versions; 15 calls `neon` custom134. */
const VERSIONS_WITH_ALL_NAMES = [17, 15];
const XID_AT = 4;
const RESOURCE_MANAGER_AT = 17;

/** Undefined if all values are wanted. Throws `usage` for an unknown resource manager. */
export function valueFilter({
  rmgr,
  xid,
}: OptionValues<typeof RECORD_FILTERS>): ValueFilter | undefined {
  if (rmgr === undefined && xid === undefined) return undefined;
  const manager =
    rmgr === undefined ? undefined : resourceManagerNumber(rmgr, VERSIONS_WITH_ALL_NAMES);
  return (type, value) => {
    const bytes = recordIn(type, value);
    if (bytes === undefined || bytes.length < WAL_RECORD_HEADER_SIZE) return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (manager !== undefined && view.getUint8(RESOURCE_MANAGER_AT) !== manager) return false;
    return xid === undefined || view.getUint32(XID_AT, true) === xid;
  };
}
