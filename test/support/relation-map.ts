/** Relation maps, made by hand. */
import { crc32cOf } from '../../src/checksum.ts';

export interface MapFields {
  readonly magic?: number;
  /** Default: those of the mappings. */
  readonly count?: number;
  readonly mappings?: readonly (readonly [oid: number, relnode: number])[];
}

/** A valid pg_filenode.map of a major version, but for the given fields. */
export function relationMapBytes(fields: MapFields = {}, majorVersion = 17): Uint8Array {
  const { magic = 0x592717, mappings = [[1259, 1259]] } = fields;
  const isOld = majorVersion < 16;
  const bytes = new Uint8Array(isOld ? 512 : 524);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setInt32(4, fields.count ?? mappings.length, true);
  for (const [index, [oid, relnode]] of mappings.entries()) {
    view.setUint32(8 + index * 8, oid, true);
    view.setUint32(12 + index * 8, relnode, true);
  }
  const checksumOffset = isOld ? 504 : 520;
  view.setUint32(checksumOffset, crc32cOf(bytes.subarray(0, checksumOffset)), true);
  return bytes;
}
