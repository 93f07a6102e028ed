/** The first bytes of a value for people: offset, sixteen bytes, and the text in them. */
import { paint } from './colour.ts';
import { formatCount } from './human.ts';
import type { Output } from './output.ts';

const BYTES_A_LINE = 16;
const SHOWN_LINES = 16;

export async function writeHexDump(output: Output, bytes: Uint8Array): Promise<void> {
  const shown = Math.min(bytes.length, SHOWN_LINES * BYTES_A_LINE);
  for (let start = 0; start < shown; start += BYTES_A_LINE) {
    const line = bytes.subarray(start, Math.min(start + BYTES_A_LINE, shown));
    const offset = paint(output, 'dim', start.toString(16).padStart(8, '0'));
    await output.write(`${offset}  ${digits(line)}  ${text(line)}\n`);
  }
  if (shown === bytes.length) return;
  const rest = `${formatCount(bytes.length - shown)} more bytes`;
  await output.write(`${paint(output, 'dim', `... ${rest}, all of them with --raw`)}\n`);
}

function digits(line: Uint8Array): string {
  const pairs = Array.from(line, (byte) => byte.toString(16).padStart(2, '0'));
  return [pairs.slice(0, 8), pairs.slice(8)].map((half) => half.join(' ').padEnd(23)).join('  ');
}

/** Printable ASCII, a dot for the rest. */
function text(line: Uint8Array): string {
  return Array.from(line, (byte) =>
    byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
  ).join('');
}
