/**
 * Commands that read a timeline in S3 and write, while the store fails: status and code of the failure, and nothing
 * half-written. A timeline is there once its index is, and a layer or a directory once it has its name.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { importTimeline } from '../../src/ingest/pgdata/import-timeline.ts';
import { relationBlockKey } from '../../src/postgres/key-mapping.ts';
import { fabricateCluster, pages } from '../postgres/fabricated-cluster.ts';
import { addValues, TIMELINE_IDS } from '../support/exported-clusters.ts';
import { SK15_SEGMENT_NAME, sk15Segment, writeSk15Base } from '../support/ingested-timelines.ts';
import { CREDENTIALS, type Fault, S3Server, startS3 } from '../support/s3-server.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseLines, runCli } from './support.ts';

const LSN = 0x16c_3560n;
const FILES = {
  'base/5/16384': pages(3, 1),
  'base/5/20000': pages(2, 2),
  'pg_xact/0000': pages(1, 4),
  'pg_multixact/members/0000': pages(1, 5),
  'pg_multixact/offsets/0000': pages(1, 6),
  'pg_twophase/.keep': '',
};

/** What is in the bucket, made once: timelines, the manifests of one, and WAL that follows the other. */
let objects: S3Server['objects'] | undefined;

async function bucketObjects(): Promise<S3Server['objects']> {
  const bucket = temporaryDirectory();
  await writeTimeline(join(bucket, 'in'));
  await runCli(['manifest', 'create', join(bucket, 'in'), '--manifests', join(bucket, 'sums')]);
  await writeSk15Base(join(bucket, 'base'));
  mkdirSync(join(bucket, 'wal'));
  writeFileSync(join(bucket, 'wal', SK15_SEGMENT_NAME), sk15Segment());
  const names = readdirSync(bucket, { recursive: true, encoding: 'utf8' });
  const plain = names.filter((name) => statSync(join(bucket, name)).isFile());
  const server = new S3Server();
  for (const name of plain) server.put(name, readFileSync(join(bucket, name)));
  return server.objects;
}

/** A timeline with an image layer and two deltas. */
async function writeTimeline(bucket: string): Promise<void> {
  const cluster = fabricateCluster(FILES, { redoLsn: LSN });
  await importTimeline({ dataDirectory: cluster, target: bucket, ...TIMELINE_IDS, way: 'classic' });
  const relation = { spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main' } as const;
  const key = relationBlockKey({ ...relation, blkno: 1 });
  for (const step of [1n, 2n]) {
    const value = { type: 'image', bytes: pages(1, 50 + Number(step)) } as const;
    await addValues(bucket, LSN + step * 0x100n, [{ key, value }]);
  }
}

interface Served {
  readonly server: S3Server;
  /** Key of a layer. */
  readonly layer: string;
  /** An empty directory. */
  readonly out: string;
}

async function served(): Promise<Served> {
  const { server } = await startS3();
  objects ??= await bucketObjects();
  for (const [name, object] of objects) server.objects.set(name, object);
  vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey);
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ENDPOINT_URL_S3', server.endpoint);
  // Waits between attempts are short.
  vi.spyOn(Math, 'random').mockReturnValue(0);
  const layers = [...server.objects.keys()].filter(
    (key) => key.startsWith('in/') && key.includes('__'),
  );
  const layer = layers.sort()[0] ?? '';
  return { server, layer, out: temporaryDirectory() };
}

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** The arguments of each command; `at` is a bucket. */
const COMMANDS = {
  salvage: (at, { layer, out }) => ['salvage', `s3://${at}/${layer}`, '--out', out],
  'redact of a layer': (at, { layer, out }) => ['redact', `s3://${at}/${layer}`, '--out', out],
  'redact of a timeline': (at) => ['redact', `s3://${at}/in`, '--out', `s3://${at}/out`],
  rewrite: (at, { layer, out }) => ['rewrite', `s3://${at}/${layer}`, '--out', out],
  'export pgdata': (at, { out }) => ['export', 'pgdata', `s3://${at}/in`, '--out', `${out}/new`],
  'compact into a bucket': (at) => [
    ...['compact', `s3://${at}/in`, '--out', `s3://${at}/out`, '--threshold', '2'],
  ],
  'compact into a directory': (at, { out }) => [
    ...['compact', `s3://${at}/in`, '--out', out, '--threshold', '2'],
  ],
  'split-shards': (at) => [
    ...['split-shards', `s3://${at}/in`, '--count', '2', '--out', `s3://${at}/out`],
  ],
  'manifest create': (at) => [
    'manifest',
    'create',
    `s3://${at}/in/`,
    '--manifests',
    `s3://${at}/out`,
  ],
  'manifest check': (at) => [
    ...['manifest', 'check', `s3://${at}/in/`, '--manifests', `s3://${at}/sums`],
  ],
  'import wal': (at) => [
    ...['import', 'wal', '--base', `s3://${at}/base`, '--wal', `s3://${at}/wal`],
    ...['--out', `s3://${at}/out`, '--end', '0/1500000'],
  ],
  'import pgdata': (at) => [
    ...['import', 'pgdata', fabricateCluster(FILES, { redoLsn: LSN }), '--classic'],
    ...['--layout', 'remote', '--out', `s3://${at}/out`],
    ...['--tenant', TIMELINE_IDS.tenantId, '--timeline', TIMELINE_IDS.timelineId],
  ],
  diff: (at, { layer }) => ['diff', `s3://${at}/in`, `s3://${at}/${layer}`],
} satisfies Record<string, (bucket: string, place: Served) => string[]>;
const NAMES = Object.keys(COMMANDS) as (keyof typeof COMMANDS)[];

async function runOn(name: keyof typeof COMMANDS, place: Served, bucket = 'layers') {
  const command: (bucket: string, place: Served) => string[] = COMMANDS[name];
  const result = await runCli([...command(bucket, place), '--json', '--s3-path-style']);
  const errors = parseLines(result.stderr).flatMap((line) =>
    'error' in line ? [line['error']] : [],
  );
  return { ...result, errors };
}

/** No index, no manifest, no layer, no directory. Layers that no index names are not a timeline. */
function expectNothing({ server, out }: Served): void {
  const written = [...server.objects.keys()].filter((key) => key.startsWith('out'));
  expect(written.filter((key) => /index_part|tenant-manifest/.test(key))).toEqual([]);
  const names = readdirSync(out, { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => statSync(join(out, name)).isFile());
  expect(files.filter((name) => !/tenants\/.*__[^/]*$/.test(name))).toEqual([]);
}

function isInputLayer(key: string): boolean {
  return /^(?:in|base)\//.test(key) && key.includes('__');
}

/** Those that put several objects; the others write into a directory, or nothing. */
const PUTTING = [
  'redact of a timeline',
  'compact into a bucket',
  'split-shards',
  'manifest create',
  'import wal',
  'import pgdata',
] as const satisfies typeof NAMES;

/** Commands that only write are not met by what fails in reading. */
const READING = NAMES.filter((name) => name !== 'import pgdata');

/** Checking manifests reads each layer once. */
const READING_TWICE = READING.filter((name) => name !== 'manifest check');

describe('a store that refuses', () => {
  test.each(NAMES)('%s with wrong credentials is denied, with status 3', async (name) => {
    const place = await served();
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDWRONG');
    const { status, errors, stdout } = await runOn(name, place);
    expect(status).toBe(3);
    expect(errors).toMatchObject([
      { code: 'denied', path: expect.stringContaining('s3://layers') },
    ]);
    expect(stdout).toMatch(/^(?:\[\]\n)?$/);
    expectNothing(place);
  });

  test.each(NAMES)('%s of a bucket that does not exist is io, with status 3', async (name) => {
    const place = await served();
    const { status, errors, stdout } = await runOn(name, place, 'other');
    expect(status).toBe(3);
    expect(errors).toMatchObject([
      { code: 'io', message: expect.stringContaining('NoSuchBucket') },
    ]);
    expect(stdout).toMatch(/^(?:\[\]\n)?$/);
    expectNothing(place);
  });

  test.each(NAMES)(
    '%s of a store that answers 503 for ever is network, with status 3',
    async (name) => {
      const place = await served();
      place.server.fault = () => ({ kind: 'status', status: 503, code: 'SlowDown' });
      const { status, errors } = await runOn(name, place);
      expect(status).toBe(3);
      expect(errors).toMatchObject([{ code: 'network', message: expect.stringContaining('503') }]);
      expectNothing(place);
    },
  );
});

describe('a store that fails now and then', () => {
  test.each(NAMES)(
    '%s of a store that answers each request with 503 at first has the status and objects of one without',
    async (name) => {
      const place = await served();
      const quiet = await runOn(name, place);
      const expected = new Map(place.server.objects);
      const again = await served();
      const fault: Fault = { kind: 'status', status: 503, code: 'SlowDown' };
      const seen = new Set<string>();
      again.server.fault = ({ method, key, range }) => {
        const request = `${method} ${key} ${range}`;
        const isFirst = !seen.has(request);
        seen.add(request);
        return isFirst ? fault : undefined;
      };
      const noisy = await runOn(name, again);
      expect([noisy.status, noisy.errors]).toEqual([quiet.status, []]);
      expect([0, 1]).toContain(quiet.status);
      expect([...again.server.objects.keys()].sort()).toEqual([...expected.keys()].sort());
    },
  );

  test.each(PUTTING)('%s whose put is denied after the first one leaves no index', async (name) => {
    const place = await served();
    let puts = 0;
    place.server.fault = ({ method }) => {
      if (method !== 'PUT') return undefined;
      puts += 1;
      return puts === 1 ? undefined : { kind: 'status', status: 403, code: 'AccessDenied' };
    };
    const { status, errors } = await runOn(name, place);
    expect(status).toBe(3);
    expect(errors[0]).toMatchObject({ code: 'denied' });
    const keys = [...place.server.objects.keys()].filter((key) => key.startsWith('out'));
    expect(keys.filter((key) => key.includes('index_part'))).toEqual([]);
  });
});

describe('objects that are not what they were', () => {
  test.each(READING)(
    '%s of a layer that vanishes after the listing ends with status 3',
    async (name) => {
      const place = await served();
      place.server.fault = ({ method, key }) => {
        const isLayer = key !== undefined && isInputLayer(key);
        return isLayer && method === 'GET'
          ? { kind: 'status', status: 404, code: 'NoSuchKey' }
          : undefined;
      };
      const { status, errors } = await runOn(name, place);
      expect(status).toBe(3);
      expect(errors[0]).toMatchObject({ code: 'not-found' });
      expectNothing(place);
    },
  );

  test.each(READING_TWICE)(
    '%s of a layer that changes between two reads says changed',
    async (name) => {
      const place = await served();
      const { server } = place;
      const reads = new Map<string, number>();
      server.fault = ({ method, key = '' }) => {
        if (method !== 'GET' || !isInputLayer(key)) return undefined;
        const count = (reads.get(key) ?? 0) + 1;
        reads.set(key, count);
        const bytes = server.objects.get(key)?.bytes ?? new Uint8Array(0);
        // The same length, so that only the etag tells.
        if (count === 2) {
          const changed = Buffer.from(bytes);
          changed[9000] = (changed[9000] ?? 0) ^ 1;
          server.put(key, changed);
        }
        return undefined;
      };
      const { status, errors } = await runOn(name, place);
      expect(status).toBe(3);
      expect(errors[0]).toMatchObject({ code: 'changed' });
      expectNothing(place);
    },
  );

  test('an index that is replaced while a timeline is compacted in its place stays', async () => {
    const place = await served();
    const { server } = place;
    const words = ['compact', 's3://layers/in', '--out', 's3://layers/in', '--threshold', '2'];
    const other = new Uint8Array([1]);
    let indexKey = '';
    server.fault = ({ method, key = '' }) => {
      // Another writer is faster with an index of the same generation.
      if (method === 'PUT' && key.includes('index_part') && indexKey === '') {
        indexKey = key;
        server.put(key, other);
      }
      return undefined;
    };
    const { status, stderr } = await runCli([...words, '--json', '--s3-path-style']);
    expect(status).toBe(1);
    expect(stderr).toContain('"exists"');
    expect(server.objects.get(indexKey)?.bytes).toEqual(other);
  });
});
