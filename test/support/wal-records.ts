/** WAL records made by hand, with a valid checksum. */
import { recordChecksum } from '../../src/wal/record-format.ts';

export interface HandMadeBlock {
  /** Default: 1663/5/16384. */
  readonly relation?: readonly [spcnode: number, dbnode: number, relnode: number];
  /** Default: 0, main. */
  readonly fork?: number;
  readonly blkno: number;
  /** The relation is that of the block before, and does not stand in the record. */
  readonly isRelationRepeated?: boolean;
  readonly willInit?: boolean;
  readonly data?: Uint8Array;
  /** A page, stored without compression; the hole is left out. */
  readonly image?:
    | {
        readonly page: Uint8Array;
        readonly hole?: readonly [offset: number, length: number];
        /** Default: true. */
        readonly apply?: boolean;
      }
    | undefined;
}

export interface HandMadeRecord {
  readonly resourceManager: number;
  readonly info: number;
  readonly xid?: number;
  readonly origin?: number | undefined;
  readonly blocks?: readonly HandMadeBlock[];
  readonly mainData?: Uint8Array;
  /** Of the image flags. Default: 17. */
  readonly majorVersion?: number;
}

/** The bytes of a record. */
export function walRecord(record: HandMadeRecord): Uint8Array {
  const { blocks = [], mainData = new Uint8Array(0), origin, majorVersion = 17 } = record;
  const headers: number[] = [];
  const data: number[] = [];
  for (const [id, block] of blocks.entries()) {
    const { relation = [1663, 5, 16384], fork = 0, blkno, willInit = false, image } = block;
    const { data: blockData = new Uint8Array(0) } = block;
    const { isRelationRepeated = false } = block;
    const flags = (image ? 0x10 : 0) | (blockData.length > 0 ? 0x20 : 0) | (willInit ? 0x40 : 0);
    headers.push(id, fork | flags | (isRelationRepeated ? 0x80 : 0), ...u16(blockData.length));
    if (image !== undefined) {
      const [offset, length] = image.hole ?? [0, 0];
      const stored = [...image.page.subarray(0, offset), ...image.page.subarray(offset + length)];
      const apply = image.apply === false ? 0 : majorVersion === 14 ? 4 : 2;
      headers.push(...u16(stored.length), ...u16(offset), (length > 0 ? 1 : 0) | apply);
      data.push(...stored);
    }
    if (!isRelationRepeated) headers.push(...relation.flatMap(u32));
    headers.push(...u32(blkno));
    data.push(...blockData);
  }
  if (origin !== undefined) headers.push(253, ...u16(origin));
  if (mainData.length > 255) headers.push(254, ...u32(mainData.length));
  else if (mainData.length > 0) headers.push(255, mainData.length);
  const parts = [new Uint8Array(24), Uint8Array.from(headers), Uint8Array.from(data), mainData];
  const bytes = new Uint8Array(Buffer.concat(parts));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint32(4, record.xid ?? 0, true);
  view.setUint8(16, record.info);
  view.setUint8(17, record.resourceManager);
  view.setUint32(20, recordChecksum(bytes), true);
  return bytes;
}

export function u16(value: number): number[] {
  return [value & 0xff, value >>> 8];
}

export function u32(value: number): number[] {
  return [...u16(value & 0xffff), ...u16(value >>> 16)];
}

/** Little-endian words, one after the other. */
export function words(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap(u32));
}

/** OVERWRITE_CONTRECORD: tells which record is given up. */
export function overwriteRecord(lsn: bigint): Uint8Array {
  const mainData = new Uint8Array(16);
  new DataView(mainData.buffer).setBigUint64(0, lsn, true);
  return walRecord({ resourceManager: 0, info: 0xd0, mainData });
}
