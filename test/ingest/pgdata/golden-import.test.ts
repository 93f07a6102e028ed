/**
 * The import of a cluster that a pageserver imported, too: `test/golden/import-fast`. By default the files of
 * the cluster have their real sizes and small files their real content, but pages are zeros: names, keys and
 * all values but pages are compared. With LAYERFILE_GOLDEN, the directory of the complete golden files, the
 * real cluster is imported, and every value is compared, also with that of the classic import.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type ImportedTimeline,
  type ImportTimelineOptions,
  importTimeline,
} from '../../../src/ingest/pgdata/import-timeline.ts';
import { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import { formatKey, parseKey } from '../../../src/layers/key.ts';
import { describeKey } from '../../../src/postgres/key-mapping.ts';
import { collectKeySpace } from '../../../src/timeline/collect-key-space.ts';
import { IndexPart } from '../../../src/timeline/index-part/index-part.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { HAS_ALL_ROUNDS } from '../../support/rounds.ts';

const GOLDEN = new URL('../../golden/import-fast/', import.meta.url);
const COMPLETE = process.env['LAYERFILE_GOLDEN'];
const TENANT = '000102030405060708090a0b0c0d0e0f';
const TIMELINE = '11223344556677881122334455667788';
const LSN = 0x27076a0n;

interface GoldenLayer {
  readonly run: string;
  readonly limit: number;
  readonly shard: string;
  readonly stripe: number;
  readonly name: string;
  readonly object: string;
  readonly size: number;
  readonly keys: number;
  readonly unordered: number;
  readonly sha256?: string;
}

interface GoldenKey {
  readonly key: string;
  readonly len: number;
  readonly sha256: string;
  readonly entries?: number;
  readonly shards: readonly number[];
}

const layers: readonly GoldenLayer[] = linesOf(readFileSync(new URL('layers.ndjson', GOLDEN)));
const keys: readonly GoldenKey[] = linesOf(
  brotliDecompressSync(readFileSync(new URL('keys.ndjson.br', GOLDEN))),
);
const keyNames = keys.map(({ key }) => key).sort();

let root: string;
let base: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'layerfile-golden-import-'));
  base = join(root, 'pg17/base');
  if (COMPLETE === undefined) fabricateFiles();
  else {
    const archive = join(COMPLETE, 'timeline/pg17/data.tar.xz');
    execFileSync('tar', ['xJf', archive, '-C', root, 'pg17/base']);
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function fabricateFiles(): void {
  const files = brotliDecompressSync(readFileSync(new URL('files.ndjson.br', GOLDEN)));
  for (const { path, size, content = '' } of linesOf<{
    path: string;
    size: number;
    content?: string;
  }>(files)) {
    mkdirSync(join(base, dirname(path)), { recursive: true });
    const file = openSync(join(base, path), 'wx');
    ftruncateSync(file, size);
    writeSync(file, Buffer.from(content, 'base64'), 0, undefined, 0);
    closeSync(file);
  }
}

function linesOf<T>(bytes: Uint8Array): T[] {
  const lines = Buffer.from(bytes).toString('utf8').trimEnd().split('\n');
  return lines.map((line): T => JSON.parse(line));
}

/** By options: both shards are looked at, and the timeline is read. */
const made = new Map<string, Promise<{ target: string; imported: ImportedTimeline }>>();

async function importBase(options: Partial<ImportTimelineOptions> = {}) {
  const name = JSON.stringify(options);
  const target = join(root, `out${made.size}`);
  const place = { dataDirectory: base, target, tenantId: TENANT, timelineId: TIMELINE };
  const making =
    made.get(name) ??
    importTimeline({ ...place, ...options }).then((imported) => ({ target, imported }));
  made.set(name, making);
  return making;
}

/** All entries of the layers of a shard: keys as hex digits. */
async function entriesOf(paths: readonly string[]): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const path of paths) {
    const reader = await ImageLayerReader.open(path);
    for await (const { key, bytes } of reader.entries()) {
      const name = formatKey(key);
      if (found.has(name)) throw new Error(`${name} is there twice`);
      found.set(name, Buffer.from(bytes));
    }
    await reader.close();
  }
  return found;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function valueLine(key: string, value: Uint8Array = new Uint8Array()): string {
  return `${key} ${value.length} ${sha256(value)}`;
}

/** Where pages are zeros, only the other values are those of the golden cluster. */
function isComparable(key: string): boolean {
  if (COMPLETE !== undefined) return true;
  const { kind } = describeKey(parseKey(key));
  return kind !== 'rel_block' && kind !== 'slru_block';
}

const RUNS: readonly [run: string, shard: number, options: Partial<ImportTimelineOptions>][] = [
  ['whole', 0, {}],
  ['split8m', 0, { layerSize: 8 * 1024 * 1024 }],
  ['shard0of2', 0, { layerSize: 8 * 1024 * 1024, shardCount: 2, stripeSize: 256 }],
  ['shard1of2', 1, { layerSize: 8 * 1024 * 1024, shardCount: 2, stripeSize: 256 }],
];

describe('the fast import of a cluster that a pageserver imported', () => {
  // By default not as a whole: the classic import is one, and the shards are others.
  test.each(HAS_ALL_ROUNDS || COMPLETE !== undefined ? RUNS : RUNS.slice(1))(
    'the fast import of a cluster (%s) gives the layers, keys, values and index of the pageserver',
    async (run, number, options) => {
      const { imported } = await importBase(options);
      const shard = imported.shards[number];
      const expected = layers.filter((layer) => layer.run === run);
      expect(shard?.layers.map(({ name }) => name)).toEqual(expected.map(({ name }) => name));
      expect(shard?.layers.map(({ path }) => path.replace(/.*\//, ''))).toEqual(
        expected.map(({ object }) => object),
      );
      expect(shard?.layers.map(({ entryCount }) => entryCount)).toEqual(
        expected.map((layer) => layer.keys),
      );
      if (COMPLETE !== undefined) {
        expect(shard?.layers.map(({ size }) => size)).toEqual(expected.map(({ size }) => size));
        for (const [index, { sha256: digest }] of expected.entries()) {
          const path = shard?.layers[index]?.path ?? '';
          if (digest !== undefined) expect(sha256(readFileSync(path))).toBe(digest);
        }
      }
      const found = await entriesOf(shard?.layers.map(({ path }) => path) ?? []);
      const isSharded = options.shardCount !== undefined;
      const wanted = keys.filter(({ shards }) => !isSharded || shards.includes(number));
      expect([...found.keys()]).toEqual(wanted.map(({ key }) => key).sort());
      // Directories are sorted, as the golden hashes are.
      const compared = wanted.filter((line) => isComparable(line.key));
      expect(compared.map(({ key }) => valueLine(key, found.get(key)))).toEqual(
        compared.map(({ key, len, sha256: digest }) => `${key} ${len} ${digest}`),
      );
      const golden = IndexPart.parse(readFileSync(new URL(`index_part-${run}.json`, GOLDEN)));
      const index = IndexPart.parse(readFileSync(shard?.indexPath ?? ''));
      expect(index.fields.metadata).toEqual(golden.fields.metadata);
      const entries = (part: IndexPart) =>
        [...part.fields.layers]
          .map(([name, layer]) => [name, layer.generation, layer.shard, COMPLETE && layer.fileSize])
          .sort();
      expect(entries(index)).toEqual(entries(golden));
      // Without a trace of an import: a pageserver that sees one asks its storage controller.
      expect(index.fields.importPgdata).toBeUndefined();
    },
  );

  test('the timeline is read back as a whole from two shards', async () => {
    const [, , [, , options] = []] = RUNS;
    const { target } = await importBase(options);
    await using timeline = await openTimeline(target);
    const { dense } = await collectKeySpace(timeline, LSN + 8n);
    const { found } = await timeline.reconstructRanges(dense, LSN + 8n);
    expect(found.map(({ key }) => formatKey(key)).sort()).toEqual(keyNames);
    expect(found.every(({ outcome }) => outcome === 'complete')).toBe(true);
  });
});

/** What the classic import has beside the fast one: the two-phase file of the cluster. */
const TWOPHASE = '0200000000000000000000000000000002F9';
const TWOPHASE_DIRECTORY = `02${'0'.repeat(34)}`;

/** A size of 4 bytes as the fast way writes it. */
function widened(key: string, value: Uint8Array = new Uint8Array()): Uint8Array {
  const isSize = describeKey(parseKey(key)).kind === 'rel_size' && value.length === 4;
  return isSize ? Buffer.concat([value, Buffer.alloc(4)]) : value;
}

describe('the classic import', () => {
  test('the classic import has the keys of the fast one, the prepared transaction, and sizes of 4 bytes', async () => {
    const { target, imported } = await importBase({ way: 'classic', layerSize: 8 * 1024 * 1024 });
    const found = await entriesOf(imported.shards[0]?.layers.map(({ path }) => path) ?? []);
    expect([...found.keys()]).toEqual([...keyNames, TWOPHASE].sort());
    const compared = keys.filter(
      (line) => isComparable(line.key) && line.key !== TWOPHASE_DIRECTORY,
    );
    expect(compared.map(({ key }) => valueLine(key, widened(key, found.get(key))))).toEqual(
      compared.map(({ key, len, sha256: digest }) => `${key} ${len} ${digest}`),
    );
    expect(found.get(TWOPHASE_DIRECTORY)?.toString('hex')).toBe('000000000000000100000000000002f9');
    const names = imported.shards[0]?.layers.map(({ name }) => name) ?? [];
    expect(names[0]).toMatch(/^0{36}-/);
    expect(names.at(-1)).toMatch(/-030000000000000000000000000000000002__00000000027076A0$/);
    expect(
      imported.shards[0]?.layers.slice(0, -1).every(({ entryCount }) => entryCount === 1024),
    ).toBe(true);
    expect(imported.metadata).toMatchObject({ diskConsistentLsn: LSN, prevRecordLsn: null });
    await using timeline = await openTimeline(target);
    const { dense } = await collectKeySpace(timeline, LSN);
    expect((await timeline.reconstructRanges(dense, LSN)).found).toHaveLength(keys.length + 1);
  });

  test.runIf(COMPLETE !== undefined)(
    'the classic import has each of the 7,156 values that a pageserver put',
    async () => {
      const { imported } = await importBase({ way: 'classic' });
      const found = await entriesOf(imported.shards[0]?.layers.map(({ path }) => path) ?? []);
      const truth = execFileSync(
        'xz',
        ['-dc', join(COMPLETE ?? '', 'timeline/pg17/truth.ndjson.xz')],
        {
          maxBuffer: 1 << 30,
        },
      );
      const lines = truth.subarray(0, 4 * 1024 * 1024);
      const values = linesOf<{ key: string; lsn: string; len: number; sha256: string }>(
        lines.subarray(0, lines.lastIndexOf(10)),
      ).slice(0, 7156);
      expect(new Set(values.map(({ key }) => key))).toEqual(new Set(found.keys()));
      const differing = new Map<string, number>();
      for (const { key, lsn, len, sha256: digest } of values) {
        expect(lsn).toBe('00000000027076A0');
        const value = found.get(key) ?? Buffer.alloc(0);
        const header = Buffer.alloc(12);
        header.writeUInt32BE(value.length, 8);
        const serialized = Buffer.concat([header, value]);
        expect([key, serialized.length]).toEqual([key, len]);
        const { kind } = describeKey(parseKey(key));
        if (sha256(serialized) !== digest) differing.set(kind, (differing.get(kind) ?? 0) + 1);
      }
      // Neon writes sets in random order, and we sort: the database directory and those of four databases and
      // of the shared relations. Their content is compared with the fast import's, which was sorted.
      expect(Object.fromEntries(differing)).toEqual({ db_dir: 1, rel_dir: 5 });
    },
  );
});
