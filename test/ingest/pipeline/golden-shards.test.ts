/**
 * The cluster of golden/timeline/pg17 in four shards, and its WAL ingested by each: together they have the values that a
 * pageserver put without shards, each in the shard that the format says. A long run:
 *
 *   LAYERFILE_GOLDEN=<the complete golden folder>   needs tar and xz
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WalIngest } from '../../../src/ingest/pipeline/wal-ingest.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { formatKey, parseKey } from '../../../src/layers/key.ts';
import { formatLsn } from '../../../src/layers/lsn.ts';
import { encodeValue, IMAGE_HEADER_SIZE } from '../../../src/layers/value-format.ts';
import { describeKey } from '../../../src/postgres/key-mapping.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { imageBytes } from '../../../src/timeline/read-page.ts';
import { openWal } from '../../../src/wal/wal-reader.ts';
import { walDirectory } from '../../../src/wal/wal-source.ts';
import { runCli } from '../../cli/support.ts';
import { directoryOf } from '../../support/ingested-values.ts';

const GOLDEN = process.env['LAYERFILE_GOLDEN'];
const LONG_MS = 900_000;
const TENANT = '000102030405060708090a0b0c0d0e0f';
const TIMELINE = '11223344556677881122334455667788';
/** Of the record of the shutdown checkpoint, which is ingested as well. */
const START_LSN = 0x27076a0n;
const END_LSN = 0x7000340n;
const COUNT = 4;
const NUMBERS = [0, 1, 2, 3];
/** Small, so that relations of a few pages are on several shards. */
const STRIPE_SIZE = 8;
const CHECKPOINT_DISTANCE = 16 * 1024 * 1024;

/** Sizes of a visibility map that VACUUM cuts. */
const CUT_MAPS = [
  '000000067F000040000000404502FFFFFFFF 0000000002D88D90',
  '000000067F000040000000404502FFFFFFFF 00000000066A21B8',
];

/** `will_init length digest`, and the content of a directory, whose order is random in a pageserver. */
interface Entry {
  readonly value: string;
  readonly directory: string | undefined;
}

/** By key and LSN. */
type Entries = Map<string, Entry>;

const ZERO_PAGE = summaryOf(true, encodeValue({ type: 'image', bytes: new Uint8Array(8192) }));

describe.runIf(GOLDEN !== undefined)('WAL over the bases of four shards', () => {
  let root = '';
  const truth = new Map<string, string>();
  const shards: Entries[] = [];

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'layerfile-golden-shards-'));
    const archive = join(GOLDEN as string, 'timeline/pg17/data.tar.xz');
    const folders = ['pg17/base', 'pg17/wal', 'pg17/timeline-remote'];
    execFileSync('tar', ['xJf', archive, '-C', root, ...folders]);
    const bucket = join(root, 'bucket');
    const place = ['--out', bucket, '--tenant', TENANT, '--timeline', TIMELINE];
    const words = ['import', 'pgdata', join(root, 'pg17/base'), ...place];
    const sharding = ['--shard-count', `${COUNT}`, '--stripe-size', `${STRIPE_SIZE}`];
    const imported = await runCli([...words, '--layout', 'remote', '--classic', ...sharding]);
    expect({ status: imported.status, stderr: imported.stderr }).toMatchObject({ status: 0 });
    for (const number of NUMBERS) shards.push(await ingested(root, bucket, number));
    for await (const line of truthLines()) {
      const { key, lsn, will_init, len, sha256 } = line;
      if (BigInt(`0x${lsn}`) > START_LSN)
        truth.set(`${key} ${lsn}`, `${will_init} ${len} ${sha256}`);
    }
  }, LONG_MS);

  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it('WAL over the bases of four shards gives each block, transaction status and file to the shard that owns it', () => {
    for (const number of NUMBERS) {
      const owned = [...entriesOf(number).keys()].filter(isOfOne);
      expect(owned.length).toBeGreaterThan(10_000);
      expect(owned.filter((name) => ownerOf(name) !== number)).toEqual([]);
    }
  });

  it('WAL over the bases of four shards gives together the blocks, transaction status and files of a pageserver, each once', () => {
    const left = new Map([...truth].filter(([name]) => isOfOne(name)));
    const wrong: string[] = [];
    for (const number of NUMBERS) {
      for (const [name, { value }] of entriesOf(number)) {
        if (!isOfOne(name)) continue;
        if (left.get(name) !== value) wrong.push(name);
        left.delete(name);
      }
    }
    expect(wrong).toEqual([]);
    // A shard fills only gaps before blocks of its own: the others stay missing until one comes.
    expect([...new Set(left.values())].filter((value) => value !== ZERO_PAGE)).toEqual([]);
    expect(left.size).toBeLessThan(2000);
  });

  it(
    'WAL over the bases of four shards gives the first shard the sizes, lists and checkpoints of a pageserver',
    async () => {
      const left = new Map([...truth].filter(([name]) => !isOfOne(name)));
      await using pageserver = await openTimeline(join(root, 'pg17/timeline-remote'));
      const wrong: string[] = [];
      for (const [name, { value, directory }] of entriesOf(0)) {
        if (isOfOne(name)) continue;
        const expected = left.get(name);
        left.delete(name);
        if (expected === value) continue;
        const [key = '', lsn = ''] = name.split(' ');
        const theirs = imageBytes(await pageserver.reconstruct(parseKey(key), BigInt(`0x${lsn}`)));
        const isSame = directory !== undefined && theirs !== undefined;
        if (!isSame || directoryOf(key, theirs) !== directory) wrong.push(name);
      }
      // A pageserver counts the page at which a map is cut only on the shard that has it.
      expect(wrong).toEqual(CUT_MAPS);
      expect(CUT_MAPS.map((name) => ownerOf(`${name.slice(0, 28)}00000000`))).toEqual([1, 1]);
      expect([...left.keys()]).toEqual([]);
    },
    LONG_MS,
  );

  it('WAL over the bases of four shards gives no shard a database or a relation that the first does not have', () => {
    const listed = (number: number) => {
      const lists = [...entriesOf(number)].flatMap(([name, { directory }]) =>
        directory === undefined ? [] : [[name.slice(0, 36), JSON.parse(directory)] as const],
      );
      // The last list of each key counts.
      return [...new Map(lists)].flatMap(([key, items]: readonly [string, object[]]) =>
        items.map((item) => `${key} ${JSON.stringify(item)}`),
      );
    };
    const first = new Set(listed(0));
    for (const number of NUMBERS.slice(1)) {
      const other = listed(number);
      // A fork that begins with a block of another shard is listed when a block of its own comes.
      expect(other.length).toBeGreaterThan(0.9 * first.size);
      expect(other.filter((item) => !first.has(item))).toEqual([]);
    }
  });

  function entriesOf(number: number): Entries {
    return shards[number] as Entries;
  }
});

/** The values of the WAL in the layers of one shard. */
async function ingested(root: string, bucket: string, number: number): Promise<Entries> {
  await using ingest = await WalIngest.open({
    ...{ base: bucket, target: bucket, checkpointDistance: CHECKPOINT_DISTANCE },
    shard: { number, count: COUNT },
  });
  const wal = walDirectory(join(root, 'pg17/wal'));
  const result = await ingest.ingest(await openWal(wal, { start: ingest.startLsn }));
  expect(result).toMatchObject({ startLsn: START_LSN, endLsn: END_LSN });
  const entries: Entries = new Map();
  for (const { path } of result.layers) {
    await using reader = await DeltaLayerReader.open(path, { nameCheck: 'ignore' });
    for await (const { key, lsn, willInit, bytes } of reader.entries()) {
      const text = formatKey(key);
      const directory = directoryOf(text, bytes.subarray(IMAGE_HEADER_SIZE));
      entries.set(`${text} ${formatLsn(lsn)}`, { value: summaryOf(willInit, bytes), directory });
    }
  }
  return entries;
}

function summaryOf(willInit: boolean, bytes: Uint8Array): string {
  return `${willInit} ${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Whether only one shard has the key. */
function isOfOne(name: string): boolean {
  const { kind } = describeKey(parseKey(name.slice(0, 36)));
  return kind === 'rel_block' || kind === 'slru_block' || kind === 'aux_files' || isSlru(kind);
}

function isSlru(kind: string): boolean {
  return kind === 'slru_size' || kind === 'slru_dir';
}

/** By the formula of the format, on its own: blocks by relation and stripe, everything else on the first shard. */
function ownerOf(name: string): number {
  const key = parseKey(name.slice(0, 36));
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  const [relation, fork, block] = [view.getUint32(9), view.getUint8(13), view.getUint32(14)];
  const isBlock = view.getUint8(0) === 0 && relation !== 0 && block !== 0xffff_ffff && fork !== 3;
  if (!isBlock) return 0;
  const left = mixed(relation);
  const right = mixed(Math.floor(block / STRIPE_SIZE));
  return ((left ^ (right + 0x9e37_79b9 + (left << 6) + (left >>> 2))) >>> 0) % COUNT;
}

/** The last steps of MurmurHash3. */
function mixed(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

interface TruthLine {
  readonly key: string;
  readonly lsn: string;
  readonly will_init: boolean;
  readonly len: number;
  readonly sha256: string;
}

async function* truthLines(): AsyncGenerator<TruthLine> {
  const path = join(GOLDEN as string, 'timeline/pg17/truth.ndjson.xz');
  const program = spawn('xz', ['-dc', path], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const text of createInterface({ input: program.stdout })) yield JSON.parse(text);
}
