/**
 * WAL of real servers of each version, with every record as they show it. The samples are the last
 * segments of `golden/wal`; LAYERFILE_GOLDEN names a folder that has all of them.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { type WalBytes, type WalSource, walBytes } from '../../src/wal/wal-source.ts';
import { GOLDEN_DIRECTORY } from './golden.ts';
import { filesOfPack } from './golden-timelines.ts';

export interface TrueRecord {
  readonly start_lsn: string;
  readonly end_lsn: string;
  readonly prev_lsn: string;
  readonly xid: number;
  readonly resource_manager: string;
  readonly record_type: string;
  readonly record_length: number;
  readonly main_data_length: number;
  readonly fpi_length: number;
  /** The samples have none: those of `described-records.ts` do. */
  readonly description?: string;
  readonly blocks: readonly {
    readonly id: number;
    readonly rel: string;
    readonly fork: number;
    readonly blk: number;
    readonly data_len: number;
    readonly fpi_len: number;
    readonly fpi_sha256?: string;
    readonly fpi_info?: readonly string[];
  }[];
}

export interface GoldenWal {
  readonly version: number;
  /** Segments of both timelines and the history of the second. */
  readonly files: readonly WalBytes[];
  readonly source: WalSource;
  /** Of timeline 1 up to near its end, and of timeline 2 from its beginning on. */
  readonly records: readonly TrueRecord[];
  readonly secondRecords: readonly TrueRecord[];
}

export const WAL_VERSIONS = [14, 15, 16, 17];

const GOLDEN = process.env['LAYERFILE_GOLDEN'];

/** The WAL of a version. */
export function goldenWal(version: number): GoldenWal {
  const all = GOLDEN === undefined ? sampleOf(version) : wholeOf(join(GOLDEN, `wal/pg${version}`));
  const files = all
    .filter(([name]) => !name.endsWith('.ndjson'))
    .map(([name, bytes]) => ({ name, bytes: new Uint8Array(bytes) }));
  const recordsOf = (name: string): TrueRecord[] => {
    const [, bytes] = all.find(([other]) => other === name) ?? [];
    const lines = (bytes ?? Buffer.alloc(0)).toString().trim().split('\n');
    return lines.map((line) => JSON.parse(line));
  };
  return {
    version,
    files,
    source: walBytes(files),
    records: recordsOf('records.ndjson'),
    secondRecords: recordsOf('records-tli2.ndjson'),
  };
}

function sampleOf(version: number): [name: string, bytes: Buffer][] {
  const path = join(GOLDEN_DIRECTORY, `wal/pg${version}.pack.br`);
  return filesOfPack(brotliDecompressSync(readFileSync(path)));
}

function wholeOf(directory: string): [name: string, bytes: Buffer][] {
  const maxBuffer = 2 ** 30;
  return readdirSync(directory).map((name) => {
    const path = join(directory, name);
    if (!name.endsWith('.xz')) return [name, readFileSync(path)];
    return [name.slice(0, -3), execFileSync('xz', ['-dc', path], { maxBuffer })];
  });
}
