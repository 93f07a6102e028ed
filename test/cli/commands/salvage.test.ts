/** The command `salvage`, and what `dump` and `index` show of the same files. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { formatLsn } from '../../../src/layers/lsn.ts';
import { sampleLayer } from '../../support/damaged-layers.ts';
import { IDS } from '../../support/layers.ts';
import { recordEntries, unfinishedLayer } from '../../support/record-layers.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { buildSmallLayers } from '../small-layers.ts';
import { parseError, parseLines, runCli } from '../support.ts';

const BLOCK = 8192;

async function damagedFile(): Promise<{ path: string; leafAt: number; gone: number }> {
  const { bytes, name, entries } = await sampleLayer('delta', 2);
  const [leafAt = 0] = entries[0]?.leaf ?? [];
  const path = join(temporaryDirectory(), name);
  writeFileSync(path, Buffer.from(bytes).fill(0, leafAt, leafAt + BLOCK));
  return { path, leafAt, gone: entries.filter(({ leaf }) => leaf[0] === leafAt).length };
}

/** As a crash leaves it below a timeline: no summary, no index. */
async function unfinishedFile(): Promise<{ path: string; count: number }> {
  const plan = [3, 1, 2].map((block) => ({ blocks: [block], dataLength: 40 }));
  const { entries, lsnRange } = recordEntries(plan);
  const ids = `tenants/${IDS.tenantId}/timelines/${IDS.timelineId}`;
  const directory = join(temporaryDirectory(), ids);
  mkdirSync(directory, { recursive: true });
  const lsns = `${formatLsn(lsnRange.start)}-${formatLsn(lsnRange.end)}`;
  const path = join(directory, `${'0'.repeat(36)}-XXX__${lsns}.1.___temp`);
  writeFileSync(path, await unfinishedLayer(entries, lsnRange));
  return { path, count: entries.length };
}

describe('salvage', () => {
  test('salvage of an undamaged layer makes the same file, with exit status 0', async () => {
    const { delta, image } = await buildSmallLayers();
    const out = temporaryDirectory();
    const result = await runCli(['salvage', delta, image, '--out', out, '--json']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    for (const [index, line] of parseLines(result.stdout).entries()) {
      const path = [delta, image][index] ?? '';
      const written = join(out, basename(path));
      expect(line).toMatchObject({ path, layers: [{ path: written }], lost: [], unkeyed: 0 });
      expect(readFileSync(written).equals(readFileSync(path))).toBe(true);
    }
  });

  test('salvage of a layer with a damaged leaf reports what is lost, with exit status 1', async () => {
    const { path, leafAt, gone } = await damagedFile();
    const out = temporaryDirectory();
    const result = await runCli(['salvage', path, '--out', out, '--json']);
    expect(result).toMatchObject({ status: 1, stderr: '' });
    const [line] = parseLines(result.stdout);
    expect(line).toMatchObject({
      layers: [{ name: basename(path) }],
      lost: [
        { offset: BLOCK, key_end: expect.any(String), error: { code: 'corrupt', offset: leafAt } },
      ],
      recovered: 18 - gone,
      lost_ranges: 1,
    });
    expect((await runCli(['verify', join(out, basename(path))])).status).toBe(0);
  });

  test('salvage of an unknown format version is exit status 4, with a warning, whatever was lost', async () => {
    const { image } = await buildSmallLayers();
    const path = join(temporaryDirectory(), basename(image));
    writeFileSync(path, readFileSync(image).with(3, 4));
    const warning = { message: 'unknown format version 4: read as version 3', path };
    const ids = ['--tenant', IDS.tenantId, '--timeline', IDS.timelineId];
    for (const [more, lostRanges] of [
      [[], 1],
      [ids, 0],
    ] as const) {
      const out = temporaryDirectory();
      const result = await runCli(['salvage', path, '--out', out, '--json', ...more]);
      expect(result.status).toBe(4);
      expect(parseLines(result.stderr)).toContainEqual({ warning });
      expect(parseLines(result.stdout)).toMatchObject([{ lost_ranges: lostRanges }]);
      expect((await runCli(['verify', join(out, basename(path))])).status).toBe(0);
    }
  });

  test('salvage over its own input is wrong usage, and the input stays', async () => {
    const { path } = await damagedFile();
    const before = readFileSync(path);
    const result = await runCli(['salvage', path, '--out', join(path, '..'), '--json']);
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(parseError(result)['code']).toBe('usage');
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(join(path, '..'))).toEqual([basename(path)]);
  });

  test('salvage of a missing file continues with the next one, with exit status 3', async () => {
    const { delta } = await buildSmallLayers();
    const result = await runCli([
      'salvage',
      'none',
      delta,
      '--out',
      temporaryDirectory(),
      '--json',
    ]);
    expect(result.status).toBe(3);
    expect(parseError(result)['code']).toBe('not-found');
    expect(parseLines(result.stdout)).toMatchObject([{ path: delta, recovered: 5 }]);
  });

  test('salvage of an unfinished layer beside it keeps its records under the ids of the path', async () => {
    const { path, count } = await unfinishedFile();
    const result = await runCli(['salvage', path, '--out', join(path, '..'), '--json']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    const [line] = parseLines(result.stdout);
    expect(line).toMatchObject({ recovered: count, unkeyed: 0, lost: [] });
    const [{ path: made }] = JSON.parse(result.stdout).layers;
    const inspected = await runCli(['inspect', made, '--json']);
    expect(JSON.parse(inspected.stdout)).toMatchObject({
      tenant_id: IDS.tenantId,
      timeline_id: IDS.timelineId,
    });
  });

  test('salvage lists values without a key before the report', async () => {
    const { image } = await buildSmallLayers();
    const path = join(temporaryDirectory(), `${basename(image)}.a.___temp`);
    writeFileSync(
      path,
      readFileSync(image)
        .subarray(0, 2 * BLOCK)
        .fill(0, 0, BLOCK),
    );
    const out = temporaryDirectory();
    const result = await runCli(['salvage', path, '--out', out, '--list-unkeyed', '--json']);
    expect(result.status).toBe(1);
    const lines = parseLines(result.stdout);
    expect(lines[0]).toMatchObject({ offset: BLOCK, type: 'image', unkeyed: 'no-record' });
    expect(lines.at(-1)).toMatchObject({ layers: [], recovered: 0, unkeyed: lines.length - 1 });
    expect(readdirSync(out)).toEqual([]);
  });

  test('salvage into a directory that is not there is exit status 3', async () => {
    const { delta } = await buildSmallLayers();
    const result = await runCli(['salvage', delta, '--out', join(temporaryDirectory(), 'no')]);
    expect(result.status).toBe(3);
  });
});

describe('an unfinished layer', () => {
  test('an unfinished layer is dumped as values without keys, each with its type', async () => {
    const { path, count } = await unfinishedFile();
    const result = await runCli(['dump', path, '--ndjson']);
    expect(result.status).toBe(1);
    const blobs = parseLines(result.stdout).filter((line) => 'stored_len' in line);
    expect(blobs).toHaveLength(count);
    expect(blobs[0]).toMatchObject({ offset: BLOCK, type: 'wal' });
    expect(blobs[0]).not.toHaveProperty('key');
  });

  test('an unfinished layer has no index, which is an error and not an empty list', async () => {
    const { path } = await unfinishedFile();
    const result = await runCli(['index', path, '--ndjson']);
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(parseError(result)['code']).toBe('corrupt');
  });
});
