/**
 * A value of a delta layer without data. Its type, its `willInit` and all lengths stay. So do:
 *
 *   image        see `redact-image.ts`
 *   wal          header of the record (length, transaction, link, kind), its block references, and lengths;
 *                block data, page images and main data are noise, and the checksum is recomputed. Nothing
 *                of an invalid record stays
 *   clear_vm, clog_set_*, multixact_*, truncate_vm      numbers of blocks and transactions, the time of a commit
 *   aux_file     the length of its path, which becomes letters, and of its content
 *
 * Nothing stays of a value that does not decode.
 */
import { isStorageError } from '../../errors.ts';
import { type ValueView, viewValue } from '../../layers/value-format.ts';
import { CRC_OFFSET } from '../../wal/record-checksum.ts';
import { checkRecord, recordChecksum } from '../../wal/record-format.ts';
import { RecordScanner, WAL_RECORD_HEADER_SIZE } from '../../wal/record-scanner.ts';
import { type RedactedPlace, redactImage } from './redact-image.ts';

/** Where a record has two bytes of padding. */
const PADDING_OFFSET = 18;

const SCANNERS = [17, 14].map((version) => new RecordScanner(version));

/** Overwrites a serialized value in place. */
export function redactValue(bytes: Uint8Array, place: RedactedPlace): void {
  let value: ValueView;
  try {
    value = viewValue(bytes);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    place.filler.noise(bytes);
    return;
  }
  if (value.type === 'image') redactImage(value.bytes, place);
  else if (value.type === 'wal') redactRecord(value.bytes, place);
  else if (value.type === 'aux_file') {
    place.filler.letters(value.path);
    if (value.content !== null) place.filler.noise(value.content);
  }
}

function redactRecord(record: Uint8Array, { filler }: RedactedPlace): void {
  const dataStart = startOfData(record);
  if (dataStart === undefined) {
    filler.noise(record);
    return;
  }
  filler.noise(record.subarray(dataStart));
  record.fill(0, PADDING_OFFSET, CRC_OFFSET);
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  view.setUint32(CRC_OFFSET, recordChecksum(record), true);
}

/** Where the headers end; undefined if it is not a valid record, or not the same one in all versions. */
function startOfData(record: Uint8Array): number | undefined {
  if (record.length < WAL_RECORD_HEADER_SIZE) return undefined;
  let found: number | undefined;
  try {
    checkRecord(record);
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    for (const scanner of SCANNERS) {
      const start = scannedStart(scanner, view);
      if (start === undefined) continue;
      if (found !== undefined && found !== start) return undefined;
      found = start;
    }
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
  return found;
}

function scannedStart(scanner: RecordScanner, view: DataView): number | undefined {
  try {
    scanner.scan(view, 0, view.byteLength);
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
  if (scanner.blockCount > 0) return scanner.imageOffsets[0];
  return scanner.mainDataOffset;
}
