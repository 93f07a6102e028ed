/**
 * Records of `golden/wal` with what their servers say about them: of every kind and every shape of text in each
 * version the shortest, and some more by chance.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { GOLDEN_DIRECTORY } from './golden.ts';

export interface DescribedRecord {
  readonly version: number;
  readonly start_lsn: string;
  readonly xid: number;
  readonly resource_manager: string;
  readonly record_type: string;
  readonly description: string;
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
