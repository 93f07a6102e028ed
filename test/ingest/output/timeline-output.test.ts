import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  TimelineOutput,
  type TimelineOutputOptions,
} from '../../../src/ingest/output/timeline-output.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import { parseKey } from '../../../src/layers/key.ts';
import { loseEverything } from '../../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { IndexPart } from '../../../src/timeline/index-part/index-part.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { UNSHARDED } from '../../../src/timeline/tenant-shard.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { systemOwners } from '../../../src/virtual-file/owners.ts';
import { startS3 } from '../../support/s3-server.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const TENANT = '11223344556677881122334455667788';
const TIMELINE = '99aabbccddeeff0099aabbccddeeff00';
const PLACE = { tenantId: TENANT, timelineId: TIMELINE, shard: UNSHARDED, generation: 1 };
const BELOW = `tenants/${TENANT}/timelines/${TIMELINE}`;
const LSN = 0x1000n;
const METADATA = {
  diskConsistentLsn: LSN + 8n,
  prevRecordLsn: LSN,
  ancestorTimeline: null,
  ancestorLsn: 0n,
  latestGcCutoffLsn: LSN,
  initdbLsn: LSN,
  pgVersion: 17,
};

function key(number: number): Uint8Array {
  return parseKey(`03${'0'.repeat(26)}${number.toString(16).padStart(8, '0')}`);
}

/** Makes a layer of one key where the output wants layers. */
async function makeLayer(
  output: TimelineOutput,
  number = 1,
  content = 'value',
  openFiles = OpenFiles.shared(),
) {
  const writer = await ImageLayerWriter.create({
    ...{ directory: output.stagingDirectory, openFiles },
    tenantId: TENANT,
    timelineId: TIMELINE,
    keyRange: { start: key(number), end: key(number + 1) },
    lsn: LSN,
  });
  await writer.put(key(number), Buffer.from(content));
  return writer.finish();
}

function nameOf(number: number): string {
  const digits = (at: number): string => Buffer.from(key(at)).toString('hex').toUpperCase();
  return `${digits(number)}-${digits(number + 1)}__0000000000001000`;
}

/** Files with durable content, whose names no process has synced. */
async function unsynced(
  files: readonly (readonly [path: string, content: Uint8Array])[],
): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem();
  disk.createDirectory('/staging');
  const made = new Set<string>();
  for (const [path, content] of files) {
    for (let end = path.indexOf('/', 1); end > 0; end = path.indexOf('/', end + 1)) {
      const directory = path.slice(0, end);
      if (!made.has(directory)) await disk.makeDirectory(directory);
      made.add(directory);
    }
    disk.createFile('/content', content);
    await disk.rename('/content', path);
  }
  return disk;
}

function indexOf(output: TimelineOutput): IndexPart {
  return IndexPart.create({ layers: output.layers, metadata: METADATA });
}

function open(options: Pick<TimelineOutputOptions, 'target'> & Partial<TimelineOutputOptions>) {
  return TimelineOutput.open({ ...PLACE, ...options });
}

describe('a timeline stored in a directory', () => {
  test('a timeline stored in a directory has its layers, its index and its manifest under their remote names, and is read back', async () => {
    const out = join(temporaryDirectory(), 'not/there/yet');
    const output = await open({ target: out });
    expect(await output.putLayer(await makeLayer(output))).toMatchObject({
      name: nameOf(1),
      path: `${out}/${BELOW}/${nameOf(1)}-00000001`,
      state: 'written',
    });
    const index = await output.putIndex(indexOf(output));
    expect(index).toBe(`${out}/${BELOW}/index_part.json-00000001`);
    await output.putTenantManifest({ stripeSize: 2048, offloadedTimelines: [] });
    await output.close();
    expect(readdirSync(out)).toEqual(['tenants']);
    expect(readdirSync(join(out, 'tenants', TENANT)).sort()).toEqual([
      'tenant-manifest-00000001.json',
      'timelines',
    ]);
    expect(IndexPart.parse(readFileSync(index)).fields.layers.get(nameOf(1))).toMatchObject({
      generation: 1,
      fileSize: BigInt(readFileSync(`${out}/${BELOW}/${nameOf(1)}-00000001`).length),
    });
    await using timeline = await openTimeline(out);
    const read = await timeline.reconstruct(key(1), timeline.lastLsn ?? 0n);
    expect(Buffer.from(read.base?.bytes ?? []).toString()).toBe('value');
  });

  test('a timeline stored in a directory of a shard lies below the shard, and the index says so', async () => {
    const out = temporaryDirectory();
    await using output = await open({ target: out, shard: { number: 1, count: 4 } });
    await output.putLayer(await makeLayer(output));
    await output.putIndex(indexOf(output));
    const directory = join(out, `tenants/${TENANT}-0104/timelines/${TIMELINE}`);
    const { fields } = IndexPart.parse(readFileSync(join(directory, 'index_part.json-00000001')));
    expect(fields.layers.get(nameOf(1))?.shard).toEqual({ number: 1, count: 4 });
    expect(existsSync(join(directory, `${nameOf(1)}-00000001`))).toBe(true);
  });

  test('a run that is repeated finds the layers that were stored', async () => {
    const out = temporaryDirectory();
    const first = await open({ target: out });
    await first.putLayer(await makeLayer(first));
    await first.close();
    await using second = await open({ target: out });
    expect((await second.putLayer(await makeLayer(second))).state).toBe('present');
    expect((await second.putLayer(await makeLayer(second, 2))).state).toBe('written');
    await second.putIndex(indexOf(second));
    expect(readdirSync(second.stagingDirectory)).toEqual([]);
  });

  test('a timeline stored in a directory survives a crash once it is stored again, after a process that synced nothing', async () => {
    const made = new MemoryFileSystem();
    for (const path of ['/out', '/staging']) made.createDirectory(path);
    const run = async (disk: MemoryFileSystem): Promise<string> => {
      const openFiles = new OpenFiles({ fileSystem: disk });
      await using output = await open({
        ...{ target: '/out', stagingDirectory: '/staging', timeline: 'repeated', openFiles },
      });
      const { state } = await output.putLayer(await makeLayer(output, 1, 'value', openFiles));
      await output.putTenantManifest({ stripeSize: 2048, offloadedTimelines: [] });
      await output.putIndex(indexOf(output));
      return state;
    };
    expect(await run(made)).toBe('written');
    const stored = [...made.contents()].filter(([path]) => path.startsWith('/out/'));
    expect(stored.length).toBe(3);
    const killed = await unsynced(stored);
    expect(killed.crash(loseEverything).paths()).toEqual(['/content']);
    expect(await run(killed)).toBe('present');
    for (const [path, content] of stored) {
      expect(killed.crash(loseEverything).contentOf(path)).toEqual(content);
    }
  });

  test('a timeline stored in a directory is refused with another content under the name of a layer, and both files stay', async () => {
    const out = temporaryDirectory();
    await using first = await open({ target: out });
    await first.putLayer(await makeLayer(first, 1, 'one'));
    await using second = await open({ target: out });
    const made = await makeLayer(second, 1, 'two');
    expect(await storageErrorOf(second.putLayer(made))).toMatchObject({
      code: 'exists',
      path: `${out}/${BELOW}/${nameOf(1)}-00000001`,
    });
    expect(existsSync(made.path)).toBe(true);
    expect(second.layers.size).toBe(0);
  });

  test('a timeline stored in a directory by two writers of one generation has the index of one, and the other gets an error', async () => {
    const out = temporaryDirectory();
    await using first = await open({ target: out });
    await using second = await open({ target: out });
    for (const output of [first, second]) await output.putLayer(await makeLayer(output));
    const results = await Promise.allSettled([
      first.putIndex(indexOf(first)),
      second.putIndex(indexOf(second)),
    ]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const failed = results.find((result) => result.status === 'rejected');
    expect(failed?.reason).toMatchObject({
      code: 'exists',
      path: expect.stringContaining('index_part'),
    });
    expect((await storageErrorOf(open({ target: out }))).code).toBe('exists');
  });

  test('a timeline stored in a directory with an index of another generation is continued, but is not new', async () => {
    const out = temporaryDirectory();
    await using first = await open({ target: out });
    await first.putLayer(await makeLayer(first));
    await first.putIndex(indexOf(first));
    const again = { target: out, generation: 2 };
    const error = await storageErrorOf(open({ ...again, timeline: 'new' }));
    expect(error).toMatchObject({
      code: 'exists',
      path: expect.stringContaining('index_part.json-'),
    });
    await using second = await open(again);
    await second.putLayer(await makeLayer(second, 2));
    const layers = new Map([...first.layers, ...second.layers]);
    await second.putIndex(IndexPart.create({ layers, metadata: METADATA }));
    await using timeline = await openTimeline(out);
    expect((await timeline.reconstruct(key(1), LSN)).outcome).toBe('complete');
    expect((await timeline.reconstruct(key(2), LSN)).outcome).toBe('complete');
  });

  test('an index that names a missing layer, or one of another size, is refused', async () => {
    const out = temporaryDirectory();
    await using output = await open({ target: out });
    await output.putLayer(await makeLayer(output));
    const [[name, entry] = []] = output.layers;
    if (name === undefined || entry === undefined) throw new Error('no layer');
    const missing = IndexPart.create({
      layers: new Map([...output.layers, [nameOf(2), entry]]),
      metadata: METADATA,
    });
    expect(await storageErrorOf(output.putIndex(missing))).toMatchObject({
      code: 'not-found',
      path: `${out}/${BELOW}/${nameOf(2)}-00000001`,
    });
    const longer = new Map([[name, { ...entry, fileSize: entry.fileSize + 1n }]]);
    const wrong = IndexPart.create({ layers: longer, metadata: METADATA });
    expect(await storageErrorOf(output.putIndex(wrong))).toMatchObject({
      code: 'invalid-input',
      expected: `${entry.fileSize + 1n} bytes`,
    });
    expect(readdirSync(join(out, BELOW))).toEqual([`${nameOf(1)}-00000001`]);
  });

  test('an index that a pageserver would not take is refused', async () => {
    await using output = await open({ target: temporaryDirectory() });
    const error = await storageErrorOf(output.putIndex(indexOf(output)));
    expect(error).toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(/no layers/),
    });
  });

  test('the staging directory of a thread that has ended is removed, that of a running one stays', async () => {
    const out = temporaryDirectory();
    await using running = await open({ target: out });
    const { pid } = spawnSync(process.execPath, ['--version']);
    const own = systemOwners.own();
    const owner = own.slice(0, 10) + pid.toString(16).padStart(8, '0') + own.slice(18);
    const ended = `layers.${owner}00000000.___temp`;
    mkdirSync(join(out, ended));
    writeFileSync(join(out, ended, 'layer'), '');
    mkdirSync(join(out, 'layers.of.somebody'));
    await using _other = await open({ target: out });
    expect(existsSync(running.stagingDirectory)).toBe(true);
    expect(existsSync(join(out, 'layers.of.somebody'))).toBe(true);
    expect(existsSync(join(out, ended))).toBe(false);
  });

  test('two outputs may have one staging directory, and what is in it stays', async () => {
    const stagingDirectory = temporaryDirectory();
    writeFileSync(join(stagingDirectory, nameOf(1)), 'of another timeline');
    const target = temporaryDirectory();
    const first = await open({ target, stagingDirectory });
    const second = await open({ target: temporaryDirectory(), stagingDirectory });
    for (const output of [first, second]) {
      expect((await output.putLayer(await makeLayer(output))).state).toBe('written');
      await output.close();
    }
    expect(readdirSync(stagingDirectory)).toEqual([nameOf(1)]);
    expect(readFileSync(join(stagingDirectory, nameOf(1)), 'utf8')).toBe('of another timeline');
  });

  test('a staging directory that does not exist is not made', async () => {
    const stagingDirectory = join(temporaryDirectory(), 'absent');
    const opening = open({ target: temporaryDirectory(), stagingDirectory });
    expect((await storageErrorOf(opening)).code).toBe('not-found');
    expect(existsSync(stagingDirectory)).toBe(false);
  });

  test('an index that a crash kept from its name does not make a timeline', async () => {
    const out = temporaryDirectory();
    mkdirSync(join(out, BELOW), { recursive: true });
    writeFileSync(join(out, BELOW, `index_part.json-00000001.${'ab'.repeat(18)}.___temp`), '{');
    await using output = await open({ target: out, timeline: 'new' });
    await output.putLayer(await makeLayer(output));
    await output.putIndex(indexOf(output));
    const again = await storageErrorOf(open({ target: out, timeline: 'new' }));
    expect(again).toMatchObject({ code: 'exists', path: expect.stringMatching(/-00000001$/) });
  });

  test('a manifest is stored once; the same again is fine, and another is refused', async () => {
    const out = temporaryDirectory();
    await using output = await open({ target: out });
    const manifest = { stripeSize: 2048, offloadedTimelines: [] };
    await output.putTenantManifest(manifest);
    await output.putTenantManifest(manifest);
    const other = storageErrorOf(output.putTenantManifest({ ...manifest, stripeSize: 1 }));
    expect((await other).code).toBe('exists');
  });

  test.each([
    ['generation', { generation: -1 }],
    ['tenant', { tenantId: 'nobody' }],
    ['timeline', { timelineId: '../..' }],
    ['shard', { shard: { number: 1, count: 1000 } }],
    ['target', { target: {} as never }],
  ])('a wrong %s is refused, and nothing is left', async (_, options) => {
    const out = temporaryDirectory();
    expect(await storageErrorOf(open({ target: out, ...options }))).toBeDefined();
    expect(readdirSync(out)).toEqual([]);
  });
});

describe('a timeline stored in a bucket', () => {
  test('a timeline stored in a bucket is sent once: a repeated run sends only what is missing', async () => {
    const { server, store } = await startS3();
    const target = { store, prefix: 'pageserver/v1' };
    const first = await open({ target });
    await first.putLayer(await makeLayer(first));
    await first.close();
    expect(existsSync(first.stagingDirectory)).toBe(false);
    server.reset();
    await using second = await open({ target, stagingDirectory: temporaryDirectory() });
    expect((await second.putLayer(await makeLayer(second))).state).toBe('present');
    expect((await second.putLayer(await makeLayer(second, 2))).state).toBe('written');
    await second.putIndex(indexOf(second));
    const sent = server.requests.filter(({ method }) => method === 'PUT').map((seen) => seen.key);
    const below = `pageserver/v1/${BELOW}`;
    expect(sent).toEqual([`${below}/${nameOf(2)}-00000001`, `${below}/index_part.json-00000001`]);
    await using timeline = await openTimeline({ store, prefix: 'pageserver/v1/' });
    expect((await timeline.reconstruct(key(2), LSN)).outcome).toBe('complete');
  });

  test('an upload that is interrupted at any request is invisible, and can be repeated', async () => {
    const { server, store } = await startS3({ attempts: 1 });
    const run = async (): Promise<void> => {
      const output = await open({ target: { store } });
      try {
        for (const number of [1, 2]) await output.putLayer(await makeLayer(output, number));
        await output.putIndex(indexOf(output));
      } finally {
        await output.close();
      }
    };
    for (const fault of ['cut', 'lost'] as const) {
      for (let failing = 1; ; failing += 1) {
        server.objects.clear();
        server.reset();
        server.fault = (_, number) => (number === failing ? { kind: fault } : undefined);
        const error = await run().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        server.fault = () => undefined;
        const hasIndex = [...server.objects.keys()].some((name) => name.includes('index_part'));
        if (hasIndex) expect(server.objects.size).toBe(3);
        if (error === undefined) break;
        expect(error).toMatchObject({ code: 'network' });
        if (!hasIndex) await run();
        await using timeline = await openTimeline({ store });
        expect((await timeline.reconstruct(key(2), LSN)).outcome).toBe('complete');
      }
    }
  });
});

test('a directory that cannot be written to leaves nothing', async () => {
  const out = join(temporaryDirectory(), 'file');
  writeFileSync(out, '');
  expect((await storageErrorOf(open({ target: out }))).code).toBe('io');
  rmSync(out);
});

describe('two writers of one generation in a bucket', () => {
  test('one stores its index and the other gets an error', async () => {
    const { server, store } = await startS3();
    await using first = await open({ target: { store } });
    await using second = await open({ target: { store } });
    for (const output of [first, second]) await output.putLayer(await makeLayer(output));
    await first.putLayer(await makeLayer(first, 2));
    const results = await Promise.allSettled([
      first.putIndex(indexOf(first)),
      second.putIndex(indexOf(second)),
    ]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const failed = results.find((result) => result.status === 'rejected');
    expect(failed?.reason).toMatchObject({
      code: 'exists',
      path: expect.stringContaining('index'),
    });
    const winner = results[0]?.status === 'fulfilled' ? first : second;
    const stored = server.objects.get(`${BELOW}/index_part.json-00000001`);
    expect(Buffer.from(stored?.bytes ?? []).toString()).toBe(indexOf(winner).format());
  });

  test('two writers of one generation in a bucket cannot replace an index that changed between the look-up and the put', async () => {
    const { server, store } = await startS3();
    await using first = await open({ target: { store } });
    await first.putLayer(await makeLayer(first));
    await first.putIndex(indexOf(first));
    await using second = await open({ target: { store }, timeline: 'continued' });
    await second.putLayer(await makeLayer(second, 2));
    const name = `${BELOW}/index_part.json-00000001`;
    server.fault = ({ method, key: object }) => {
      if (method === 'PUT' && object === name) server.put(name, Buffer.from('of another writer'));
      return undefined;
    };
    const layers = new Map([...first.layers, ...second.layers]);
    const advanced = second.advanceIndex(IndexPart.create({ layers, metadata: METADATA }));
    expect(await storageErrorOf(advanced)).toMatchObject({ code: 'changed' });
    expect(Buffer.from(server.objects.get(name)?.bytes ?? []).toString()).toBe('of another writer');
  });
});

describe('a timeline that grows', () => {
  test('a timeline that grows has its index replaced by the output that stored or read it', async () => {
    const out = temporaryDirectory();
    const first = await open({ target: out });
    await first.putLayer(await makeLayer(first));
    expect(first.index).toBeUndefined();
    const path = await first.putIndex(indexOf(first));
    await first.putLayer(await makeLayer(first, 2));
    expect(await first.advanceIndex(indexOf(first))).toBe(path);
    expect(first.index?.fields.layers.size).toBe(2);
    await first.close();

    const second = await open({ target: out, timeline: 'continued' });
    const { index } = second;
    expect([...(index?.fields.layers.keys() ?? [])]).toEqual([nameOf(1), nameOf(2)]);
    await second.putLayer(await makeLayer(second, 3));
    const layers = new Map([...(index as IndexPart).fields.layers, ...second.layers]);
    await second.advanceIndex((index as IndexPart).with({ layers }));
    await second.close();
    await using timeline = await openTimeline(out);
    expect(timeline.map.layerCount).toBe(3);
  });

  test('a timeline that grows keeps the index of another writer, and says so', async () => {
    const out = temporaryDirectory();
    const first = await open({ target: out });
    await first.putLayer(await makeLayer(first));
    await first.putIndex(indexOf(first));
    const second = await open({ target: out, timeline: 'continued' });
    await first.putLayer(await makeLayer(first, 2));
    const path = await first.advanceIndex(indexOf(first));
    const text = readFileSync(path, 'utf8');
    const error = await storageErrorOf(second.advanceIndex(second.index as IndexPart));
    expect(error).toMatchObject({ code: 'changed', path });
    expect(readFileSync(path, 'utf8')).toBe(text);
    await first.close();
    await second.close();
  });

  test('a timeline that grows cannot replace an index that is not there, nor name a layer that is missing', async () => {
    const out = temporaryDirectory();
    const output = await open({ target: out, timeline: 'continued' });
    expect(output.index).toBeUndefined();
    await output.putLayer(await makeLayer(output));
    const error = await storageErrorOf(output.advanceIndex(indexOf(output)));
    expect(error.code).toBe('not-found');
    await output.putIndex(indexOf(output));
    rmSync(join(out, BELOW, `${nameOf(1)}-00000001`));
    await output.close();
    const again = await open({ target: out, timeline: 'continued' });
    const missing = await storageErrorOf(again.advanceIndex(again.index as IndexPart));
    expect(missing.code).toBe('not-found');
    await again.close();
  });
});
