/**
 * What jazzer.js calls with the bytes that it makes up. From 8 KiB on they are a layer; less is one
 * of the small formats, by the first byte. What should not happen is thrown.
 */
import { checkLayer } from '../oracle.ts';
import { READERS } from '../other-targets.ts';
import { checkPrinting } from '../printing.ts';

const SMALL = Object.values(READERS);
const SMALLEST_LAYER = 8192;

export async function fuzz(data: Buffer): Promise<void> {
  // The fuzzer uses its memory again.
  const bytes = Buffer.from(data);
  if (bytes.length >= SMALLEST_LAYER) {
    const { verifies } = await checkLayer(bytes, 'quick');
    const choice = bytes.readUInt8(bytes.length - 1);
    await checkPrinting(bytes, verifies, (n) => choice % n);
  } else if (bytes.length > 0) {
    const read = SMALL[bytes.readUInt8(0) % SMALL.length];
    await read?.(bytes.subarray(1));
  }
}
