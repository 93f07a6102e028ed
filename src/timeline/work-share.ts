/** Shares of work that is divided by names, in the same way on every machine. */
import { crc32cOf } from '../checksum.ts';

/** One of several shares. */
export interface WorkShare {
  /** 0 to count - 1. */
  readonly index: number;
  /** At least 1. */
  readonly count: number;
}

/** Whether a name belongs to a share: the CRC-32C of its UTF-8 bytes, modulo the number of shares. */
export function isOfShard(name: string, { index, count }: WorkShare): boolean {
  return crc32cOf(Buffer.from(name)) % count === index;
}
