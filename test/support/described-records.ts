/**
 * Records of `golden/wal` with what their servers say about them: of every kind and every shape of text in each
 * version the shortest, and some more by chance.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { recordChecksum } from '../../src/wal/record-format.ts';
import { GOLDEN_DIRECTORY } from './golden.ts';

export interface DescribedRecord {
  readonly version: number;
  readonly start_lsn: string;
  readonly xid: number;
  readonly resource_manager: string;
  readonly record_type: string;
  readonly description: string;
  /** The line of pg_waldump; of 15 only. */
  readonly waldump?: string;
  readonly bytes: Uint8Array;
}

export function readDescribedRecords(): DescribedRecord[] {
  const compressed = readFileSync(join(GOLDEN_DIRECTORY, 'wal/descriptions.ndjson.br'));
  const lines = brotliDecompressSync(compressed).toString().trim().split('\n');
  return lines.map((line) => {
    const { hex, ...record } = JSON.parse(line);
    return { ...record, bytes: new Uint8Array(Buffer.from(hex, 'hex')) };
  });
}

/** A record with its length and checksum, of header fields, block headers and data in hex. */
export function recordBytes(spec: {
  readonly resourceManager: number;
  readonly info: number;
  readonly mainData?: string;
  /** Headers of the block references and what else precedes the length of the main data. */
  readonly headers?: string;
  readonly blockData?: string;
}): Uint8Array {
  const mainData = hexOf(spec.mainData);
  const length = mainData.length === 0 ? Buffer.alloc(0) : Buffer.from([255, mainData.length]);
  const body = Buffer.concat([hexOf(spec.headers), length, hexOf(spec.blockData), mainData]);
  const header = Buffer.alloc(24);
  header.writeUInt32LE(24 + body.length, 0);
  header[16] = spec.info;
  header[17] = spec.resourceManager;
  return withChecksum(Buffer.concat([header, body]));
}

/** The same bytes, with the checksum that they should have. */
export function withChecksum(bytes: Uint8Array): Uint8Array {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(20, recordChecksum(bytes), true);
  return bytes;
}

function hexOf(hex = ''): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}
