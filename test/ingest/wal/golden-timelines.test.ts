/**
 * All WAL of golden/timeline against all values that a pageserver put for it, and all WAL of golden/wal over an empty
 * cluster. A long run:
 *
 *   LAYERFILE_GOLDEN=<the complete golden folder>   needs tar, xz and zstd
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import { isStorageError } from '../../../src/errors.ts';
import type { IngestBase } from '../../../src/ingest/wal/put-sink.ts';
import { RecordIngest } from '../../../src/ingest/wal/record-ingest.ts';
import { formatKey, parseKey } from '../../../src/layers/key.ts';
import { type Lsn, parseLsn } from '../../../src/layers/lsn.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { imageBytes } from '../../../src/timeline/read-page.ts';
import type { Timeline } from '../../../src/timeline/timeline.ts';
import { openWal } from '../../../src/wal/wal-reader.ts';
import { walDirectory } from '../../../src/wal/wal-source.ts';
import {
  directoryOf,
  IngestedValues,
  type PutValue,
  smallCluster,
} from '../../support/ingested-values.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const GOLDEN = process.env['LAYERFILE_GOLDEN'];
const LONG_MS = 900_000;

interface TruthLine {
  readonly key: string;
  readonly lsn: string;
  readonly will_init: boolean;
  readonly len: number;
  readonly sha256: string;
}

const TIMELINES = [
  { name: 'pg17', majorVersion: 17, start: '0/2707718', layers: 'pg17/timeline-remote' },
  { name: 'sk15', majorVersion: 15, start: '0/14AEC08', layers: 'sk15' },
] as const;

describe.runIf(GOLDEN !== undefined)('the complete golden folder', () => {
  test.each(TIMELINES)(
    'the timeline $name has each value of a pageserver, and no other',
    async ({ name, majorVersion, start, layers }) => {
      const directory = temporaryDirectory();
      unpackTimeline(name, directory);
      const timeline = await openTimeline(join(directory, layers));
      const lsn = parseLsn(start);
      const truth = await readTruth(name, lsn);
      const found = await ingestAll(timeline, { directory, name, lsn, majorVersion });
      const wrong: string[] = [];
      for (const [place, line] of truth) {
        const put = found.get(place);
        if (put === undefined || !(await isSame(put, line, timeline))) wrong.push(place);
      }
      expect(wrong).toEqual([]);
      expect([...found.keys()].filter((place) => !truth.has(place))).toEqual([]);
      await timeline.close();
    },
    LONG_MS,
  );

  test.each([14, 15, 16, 17])(
    'records of version %d over an empty cluster give values, or say what is lacking',
    async (majorVersion) => {
      const directory = temporaryDirectory();
      const source = join(GOLDEN as string, 'wal', `pg${majorVersion}`);
      for (const file of readdirSync(source).filter((name) => /^0{7}1.{16}\.xz$/.test(name))) {
        writeFileSync(join(directory, file.slice(0, -3)), unpacked('xz', join(source, file)));
      }
      const lacks = await ingestOverNothing(directory, majorVersion);
      expect([...lacks].sort()).toEqual(
        ['exists', 'not-found', 'values'].filter((end) => lacks.has(end)),
      );
      expect(lacks).toContain('values');
    },
    LONG_MS,
  );
});

/** Ingests each record, beginning again after one that ended the ingest. Returns how they ended. */
async function ingestOverNothing(directory: string, majorVersion: number): Promise<Set<string>> {
  const ends = new Set<string>();
  const values = smallCluster({ majorVersion });
  const open = (lsn: Lsn): Promise<RecordIngest> =>
    RecordIngest.open({ base: values, sink: values, lsn, majorVersion });
  let ingest = await open(1n);
  for await (const batch of await openWal(walDirectory(directory))) {
    for (let index = 0; index < batch.length; index += 1) {
      try {
        await ingest.ingest(batch.bytes(index), batch.endLsn(index));
        ends.add('values');
      } catch (error) {
        if (!isStorageError(error)) throw error;
        ends.add(error.code);
        ingest = await open(batch.endLsn(index));
      }
      values.take();
    }
  }
  return ends;
}

function unpackTimeline(name: 'pg17' | 'sk15', directory: string): void {
  const folder = join(GOLDEN as string, 'timeline', name);
  if (name === 'pg17') {
    execFileSync('tar', ['xJf', join(folder, 'data.tar.xz'), '-C', directory]);
    return;
  }
  execFileSync('tar', ['xJf', join(folder, 'layers.tar.xz'), '-C', directory]);
  const segment = '000000010000000000000001';
  const wal = join(directory, 'wal');
  mkdirSync(wal);
  writeFileSync(join(wal, segment), unpacked('zstd', join(folder, `${segment}.zst`)));
}

function unpacked(program: 'xz' | 'zstd', path: string): Uint8Array {
  const options = program === 'zstd' ? ['--long=31', '-dqc'] : ['-dc'];
  return execFileSync(program, [...options, path], { maxBuffer: 64 * 1024 * 1024 });
}

/** Values above the base, by key and LSN. */
async function readTruth(name: string, base: Lsn): Promise<Map<string, TruthLine>> {
  const path = join(GOLDEN as string, 'timeline', name, 'truth.ndjson.xz');
  const program = spawn('xz', ['-dc', path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const truth = new Map<string, TruthLine>();
  for await (const text of createInterface({ input: program.stdout })) {
    const line: TruthLine = JSON.parse(text);
    const lsn = parseLsn(line.lsn);
    if (lsn > base) truth.set(placeOf(line.key, lsn), line);
  }
  return truth;
}

function placeOf(key: string, lsn: Lsn): string {
  return `${key} ${lsn.toString(16)}`;
}

interface Found {
  readonly willInit: boolean;
  readonly length: number;
  readonly sha256: string;
  /** What a directory lists, whose order is free. */
  readonly directory: string | undefined;
  readonly key: string;
  readonly lsn: Lsn;
}

async function ingestAll(
  timeline: Timeline,
  options: {
    readonly directory: string;
    readonly name: string;
    readonly lsn: Lsn;
    readonly majorVersion: number;
  },
): Promise<Map<string, Found>> {
  const { directory, name, lsn, majorVersion } = options;
  const folder = name === 'pg17' ? join(directory, 'pg17', 'wal') : join(directory, 'wal');
  const values = new IngestedValues();
  const base: IngestBase = {
    get: async (key) => (await values.get(key)) ?? readValue(timeline, key, lsn),
  };
  const ingest = await RecordIngest.open({ base, sink: values, lsn, majorVersion });
  const found = new Map<string, Found>();
  for await (const batch of await openWal(walDirectory(folder), { start: lsn })) {
    for (let index = 0; index < batch.length; index += 1) {
      const waiting = ingest.ingest(batch.bytes(index), batch.endLsn(index));
      if (waiting !== undefined) await waiting;
      for (const put of values.take()) found.set(placeOf(put.key, put.lsn), foundOf(put));
    }
  }
  return found;
}

async function readValue(
  timeline: Timeline,
  key: Uint8Array,
  lsn: Lsn,
): Promise<Uint8Array | undefined> {
  const result = await timeline.readPage(key, lsn);
  if (result.kind === 'page') return result.bytes;
  if (result.kind === 'missing') return undefined;
  throw new Error(`${formatKey(key)}: ${result.kind}`);
}

function foundOf({ key, lsn, willInit, bytes }: PutValue): Found {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const directory = directoryOf(key, bytes.subarray(12));
  return { key, lsn, willInit, length: bytes.length, sha256, directory };
}

async function isSame(put: Found, line: TruthLine, timeline: Timeline): Promise<boolean> {
  if (put.willInit !== line.will_init || put.length !== line.len) return false;
  if (put.directory === undefined) return put.sha256 === line.sha256;
  const reconstruction = await timeline.reconstruct(parseKey(put.key), put.lsn);
  const stored = imageBytes(reconstruction);
  if (stored === undefined || reconstruction.base?.lsn !== put.lsn) return false;
  return directoryOf(put.key, stored) === put.directory;
}
