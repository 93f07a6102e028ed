/** The command `redact`, of a file and of a timeline. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TimelineOutput } from '../../../src/ingest/output/timeline-output.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import { IndexPart } from '../../../src/timeline/index-part/index-part.ts';
import { UNSHARDED } from '../../../src/timeline/tenant-shard.ts';
import { blockKey, IDS } from '../../support/layers.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { buildSmallLayers, PAGE } from '../small-layers.ts';
import { parseError, parseLines, runCli } from '../support.ts';

const SECRET = Buffer.from('secret secret secret secret secret secret secret secret secret!');

async function makeTimeline(): Promise<string> {
  const root = temporaryDirectory();
  await using output = await TimelineOutput.open({
    ...{ target: root, ...IDS, shard: UNSHARDED, generation: 1 },
  });
  const keyRange = { start: blockKey(0), end: blockKey(1000) };
  const options = { directory: output.stagingDirectory, ...IDS, keyRange, lsn: 0x10n };
  await using images = await ImageLayerWriter.create(options);
  for (const block of [1, 2, 3]) await images.put(blockKey(block), Buffer.from(SECRET));
  await output.putLayer(await images.finish());
  const metadata = {
    ...{ diskConsistentLsn: 0x10n, prevRecordLsn: null, ancestorTimeline: null },
    ...{ ancestorLsn: 0n, latestGcCutoffLsn: 0x10n, initdbLsn: 0x10n, pgVersion: 17 },
  };
  await output.putIndex(IndexPart.create({ layers: output.layers, metadata }));
  return root;
}

describe('redact', () => {
  test('redact of a layer has its name and its entries, but not its pages', async () => {
    const { delta, image } = await buildSmallLayers();
    for (const file of [delta, image]) {
      const out = temporaryDirectory();
      const result = await runCli(['redact', file, '--out', out, '--json']);
      expect(result).toMatchObject({ status: 0, stderr: '' });
      const [line] = parseLines(result.stdout);
      const path = join(out, basename(file));
      expect(line).toMatchObject({ layers: [{ path, name: basename(file) }] });
      const shapes = await Promise.all(
        [file, path].map(async (layer) => {
          const dumped = await runCli(['dump', layer, '--ndjson']);
          return parseLines(dumped.stdout).map(({ key, lsn, type, len, will_init: init }) => [
            ...[key, lsn, type, len, init],
          ]);
        }),
      );
      expect(shapes[1]).toEqual(shapes[0]);
      const { stdout } = await runCli(['dump', path, '--ndjson', '--values', 'hex']);
      expect(stdout).not.toContain(PAGE.slice(0, 16));
    }
  });

  test('redact of a timeline is a timeline that a check accepts, without the data', async () => {
    const root = await makeTimeline();
    const out = temporaryDirectory();
    const result = await runCli(['redact', root, '--out', out, '--json']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    const { layers, index_parts: indices } = JSON.parse(result.stdout);
    expect(layers).toHaveLength(1);
    expect(indices).toHaveLength(1);
    const directory = join(indices[0], '..');
    for (const name of readdirSync(directory)) {
      expect(readFileSync(join(directory, name)).includes('secret')).toBe(false);
    }
    const check = await runCli(['check', out, '--deep', '--json']);
    expect(check.status).toBe(0);
  });

  test('redact over its own input is wrong usage', async () => {
    const { delta } = await buildSmallLayers();
    const before = readFileSync(delta);
    const result = await runCli(['redact', delta, '--out', join(delta, '..'), '--json']);
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(parseError(result)['code']).toBe('usage');
    expect(readFileSync(delta).equals(before)).toBe(true);
  });

  test('redact of a timeline into itself is refused, whatever generation the index would have', async () => {
    const root = await makeTimeline();
    const before = readdirSync(root, { recursive: true }).sort();
    for (const generation of [[], ['--new-generation', '00000009']]) {
      const result = await runCli(['redact', root, '--out', root, '--json', ...generation]);
      expect(result).toMatchObject({ status: 1, stdout: '' });
      expect(parseError(result)).toMatchObject({ code: 'exists' });
      expect(readdirSync(root, { recursive: true }).sort()).toEqual(before);
    }
  });

  test('redact lists in its help what stays', async () => {
    const { stdout } = await runCli(['redact', '--help']);
    expect(stdout).toContain('What stays:');
    expect(stdout).toContain('hashes of their names');
  });
});
