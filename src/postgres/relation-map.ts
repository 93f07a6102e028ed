/**
 * Relation map (pg_filenode.map): file numbers of the catalogs through which all others are found,
 * little-endian.
 *
 *   0           u32  magic, 0x00592717
 *   4           i32  number of mappings
 *   8           u32 + u32 each: OID of the catalog, its file number; room for 62 (14 and 15) or 64
 *   504 or 520  u32  CRC-32C of all bytes before it
 *   508         u32  padding, 14 and 15 only
 *
 * 512 bytes for 14 and 15, 524 for 16 and 17. A server refuses any other content: without its map
 * a database cannot be opened.
 * Source: Postgres src/backend/utils/cache/relmapper.c.
 */
import { checkBytes, checkCount } from '../check-options.ts';
import { crc32cOf } from '../checksum.ts';
import { corrupt, StorageError } from '../errors.ts';

/** One entry of a relation map. */
export interface RelationMapping {
  /** OID of the catalog. */
  readonly oid: number;
  /** Its relation file number. */
  readonly relnode: number;
}

/**
 * Decodes a relation map.
 *
 * @param majorVersion Major version of the cluster, 14 to 17, which determines the size.
 * @returns The mappings in the order of the file.
 * @throws `truncated` (too short, or empty), `corrupt` (too long, magic, count, checksum).
 */
export function decodeRelationMap(bytes: Uint8Array, majorVersion: number): RelationMapping[] {
  checkBytes(bytes, 'relation map');
  if (typeof majorVersion !== 'number') checkCount('major version of Postgres', majorVersion);
  const layout = layoutOf(majorVersion);
  checkSize(bytes, layout.size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = view.getUint32(0, true);
  if (magic !== MAGIC) throw corrupt('magic number of the relation map', 0, hex(MAGIC), hex(magic));
  const count = view.getInt32(COUNT_OFFSET, true);
  if (count < 0 || count > layout.room) {
    throw corrupt(
      'number of mappings of the relation map',
      COUNT_OFFSET,
      `0 to ${layout.room}`,
      String(count),
    );
  }
  const checksumOffset = MAPPINGS_OFFSET + layout.room * MAPPING_SIZE;
  const stored = view.getUint32(checksumOffset, true);
  const computed = crc32cOf(bytes.subarray(0, checksumOffset));
  if (stored !== computed) {
    throw corrupt('checksum of the relation map', checksumOffset, hex(computed), hex(stored));
  }
  return Array.from({ length: count }, (_, index) => {
    const offset = MAPPINGS_OFFSET + index * MAPPING_SIZE;
    return { oid: view.getUint32(offset, true), relnode: view.getUint32(offset + 4, true) };
  });
}

/** Bytes of the file in a version of Postgres. */
export function relationMapSize(majorVersion: number): number {
  return layoutOf(majorVersion).size;
}

const MAGIC = 0x0059_2717;
const COUNT_OFFSET = 4;
const MAPPINGS_OFFSET = 8;
const MAPPING_SIZE = 8;

const LAYOUTS = {
  before16: { size: 512, room: 62 },
  from16: { size: 524, room: 64 },
} as const;

function layoutOf(majorVersion: number): (typeof LAYOUTS)[keyof typeof LAYOUTS] {
  return majorVersion < 16 ? LAYOUTS.before16 : LAYOUTS.from16;
}

function checkSize({ length }: Uint8Array, size: number): void {
  if (length === size) return;
  throw new StorageError(length < size ? 'truncated' : 'corrupt', {
    what: 'relation map',
    expected: `${size} bytes`,
    actual: `${length}`,
  });
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
