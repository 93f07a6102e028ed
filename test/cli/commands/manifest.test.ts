import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { crc32cOf } from '../../../src/checksum.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { buildSmallLayers, IMAGE_HEADER, keyText, PAGE } from '../small-layers.ts';
import { parseError, parseLines, runCli } from '../support.ts';

function flip(path: string, ...places: readonly (readonly [number, number])[]): void {
  const bytes = readFileSync(path);
  for (const [offset, bit] of places) bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit);
  writeFileSync(path, bytes);
}

async function layersWithManifests() {
  const layers = await buildSmallLayers();
  const { directory, delta, image } = layers;
  const created = await runCli(['manifest', 'create', directory, '--ndjson']);
  const manifestOf = (path: string) => join(directory, `manifest-${basename(path)}`);
  return { ...layers, created, manifestOf, sorted: [delta, image].sort() };
}

async function check(...more: string[]) {
  const result = await runCli(['manifest', 'check', ...more, '--ndjson']);
  return { ...result, lines: parseLines(result.stdout) };
}

describe('manifest create', () => {
  test('names the directory for manifests that is not there', async () => {
    const { directory } = await buildSmallLayers();
    const manifests = join(directory, 'none');
    const result = await runCli([
      ...['manifest', 'create', directory, '--manifests', manifests, '--json'],
    ]);
    expect(result).toMatchObject({ status: 3, stdout: '' });
    const message = expect.stringContaining('no such output directory');
    expect(parseError(result)).toMatchObject({ code: 'not-found', path: manifests, message });
  });

  test('manifest create writes a manifest beside each layer, and prints a line for it', async () => {
    const { created, sorted, manifestOf } = await layersWithManifests();
    expect(created).toMatchObject({ status: 0, stderr: '' });
    const expected = sorted.map((path) => ({
      path,
      manifest: manifestOf(path),
      bytes: readFileSync(path).length,
      blocks: readFileSync(path).length / 8192,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    }));
    expect(parseLines(created.stdout)).toEqual(expected);
  });

  test('manifest create replaces no manifest, and can leave out what has one', async () => {
    const { directory, delta, manifestOf } = await layersWithManifests();
    const before = readFileSync(manifestOf(delta), 'utf8');
    const again = await runCli(['manifest', 'create', delta, '--ndjson']);
    expect(again).toMatchObject({ status: 1, stdout: '' });
    expect(parseError(again)).toMatchObject({ code: 'exists', path: manifestOf(delta) });
    rmSync(manifestOf(delta));
    const rest = await runCli(['manifest', 'create', directory, '--skip-existing', '--ndjson']);
    expect(rest.status).toBe(0);
    expect(parseLines(rest.stdout).map(({ path }) => path)).toEqual([delta]);
    expect(readFileSync(manifestOf(delta), 'utf8')).toBe(before);
  });

  test('manifest create takes any file that is named, and puts manifests where they are wanted', async () => {
    const directory = temporaryDirectory();
    const manifests = join(directory, 'manifests');
    mkdirSync(manifests);
    const file = join(directory, 'base.tar');
    writeFileSync(file, 'any bytes');
    const place = ['--manifests', manifests];
    const list = { stdin: `${file}\n` };
    const created = await runCli(['manifest', 'create', '--files-from', '-', ...place], list);
    expect(created.status).toBe(0);
    expect(created.stdout).toContain(join(manifests, 'manifest-base.tar'));
    expect((await check(file, ...place)).status).toBe(0);
    expect((await check(file)).lines[0]).toMatchObject({ findings: [{ code: 'not-found' }] });
  });

  test('manifest create of a share takes the files whose name hashes to it', async () => {
    const { directory, sorted } = await buildSmallLayers().then((layers) => ({
      ...layers,
      sorted: [layers.delta, layers.image].sort(),
    }));
    const found: unknown[] = [];
    for (const index of [0, 1, 2]) {
      const line = ['manifest', 'create', directory, '--shard', `${index}/3`, '--ndjson'];
      for (const { path } of parseLines((await runCli(line)).stdout)) {
        expect(crc32cOf(Buffer.from(basename(String(path)))) % 3).toBe(index);
        found.push(path);
      }
    }
    expect(found.sort()).toEqual(sorted);
  });

  test('manifest create wants either paths or a list', async () => {
    for (const more of [[], ['x', '--files-from', '-']]) {
      const result = await runCli(['manifest', 'create', ...more, '--json']);
      expect(result.status).toBe(2);
      expect(parseError(result)).toMatchObject({ code: 'usage' });
    }
  });
});

describe('a path with the name of a manifest', () => {
  test('a path with the name of a manifest stands for its file when it is checked, once', async () => {
    const { delta, manifestOf } = await layersWithManifests();
    flip(delta, [8200, 3]);
    const one = await check(manifestOf(delta));
    expect(one).toMatchObject({ status: 1, lines: [{ path: delta, ok: false, errors: 1 }] });
    expect((await check(delta, manifestOf(delta))).lines).toEqual(one.lines);
    rmSync(delta);
    const lost = await check(manifestOf(delta));
    expect(lost).toMatchObject({ status: 1, lines: [{ path: delta, ok: false }] });
    const made = await runCli(['manifest', 'create', manifestOf(delta), '--ndjson']);
    expect(made).toMatchObject({ status: 0, stdout: '' });
  });

  test('a path with the name of a manifest may be that of any file, and gets a manifest as others do', async () => {
    const file = join(temporaryDirectory(), 'manifest-of-parts.json');
    writeFileSync(file, 'any bytes');
    const made = await runCli(['manifest', 'create', file, '--ndjson']);
    expect(parseLines(made.stdout)).toMatchObject([{ path: file, bytes: 9 }]);
    expect(await check(file)).toMatchObject({ status: 0, lines: [{ path: file, ok: true }] });
  });
});

describe('manifest check', () => {
  test('manifest check of a directory in a list could not look, though it has no manifest either', async () => {
    const directory = temporaryDirectory();
    const list = { stdin: `${directory}\n` };
    const result = await runCli(['manifest', 'check', '--files-from', '-', '--ndjson'], list);
    expect(result).toMatchObject({ status: 3, stdout: '' });
    expect(parseError(result)).toMatchObject({ code: 'io', path: directory });
  });

  test('manifest check of files that are what they were is clean', async () => {
    const { directory, sorted } = await layersWithManifests();
    const { status, stderr, lines } = await check(directory);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(lines).toEqual(
      sorted.map((path) => ({
        ...{ path, ok: true, blocks: readFileSync(path).length / 8192 },
        ...{ bytes: readFileSync(path).length, findings: [], errors: 0, warnings: 0 },
      })),
    );
    const document = await runCli(['manifest', 'check', directory, '--json']);
    expect(JSON.parse(document.stdout)).toEqual({ ok: true, files: lines });
    const text = await runCli(['manifest', 'check', directory]);
    expect(text.stdout).toMatch(/\n2 files, [^\n]*: all valid\n$/);
  });

  test('manifest check names a flipped bit, which the format does not notice, and mends a copy', async () => {
    const { directory, delta } = await layersWithManifests();
    const before = readFileSync(delta);
    flip(delta, [8192 + 500, 6]);
    expect((await runCli(['verify', delta])).status).toBe(0);
    const mended = join(directory, 'mended');
    mkdirSync(mended);
    const { status, lines } = await check(delta, '--mend', mended);
    expect(status).toBe(1);
    expect(lines).toEqual([
      {
        ...{ path: delta, ok: false, blocks: before.length / 8192, bytes: before.length },
        findings: [
          {
            ...{ severity: 'error', code: 'corrupt', offset: 8692, bit: { offset: 8692, bit: 6 } },
            message: 'bit 6 of the byte at offset 8692 is flipped, in block 1',
          },
        ],
        ...{ errors: 1, warnings: 0, mended: join(mended, basename(delta)) },
      },
    ]);
    expect(readFileSync(join(mended, basename(delta)))).toEqual(before);
    const again = await check(delta, '--mend', mended);
    expect(again.status).toBe(1);
    expect(parseError(again)).toMatchObject({ code: 'exists' });
  });

  test('a repaired copy in the directory of the file, by its name or by a link, is wrong usage', async () => {
    const { directory, delta } = await layersWithManifests();
    flip(delta, [8192 + 500, 6]);
    const before = readFileSync(delta);
    const names = readdirSync(directory);
    const link = join(temporaryDirectory(), 'link');
    symlinkSync(directory, link);
    for (const mend of [directory, link]) {
      const { status, stdout, stderr } = await runCli(['manifest', 'check', delta, '--mend', mend]);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toContain('choose another directory for --mend');
    }
    expect([readFileSync(delta), readdirSync(directory)]).toEqual([before, names]);
  });

  test('manifest check names a block with several changes, which it does not mend', async () => {
    const { directory, delta } = await layersWithManifests();
    flip(delta, [8192, 1], [9000, 1]);
    const mended = join(directory, 'mended');
    mkdirSync(mended);
    const { status, lines } = await check(delta, '--mend', mended);
    expect(status).toBe(1);
    expect(lines[0]).toMatchObject({ errors: 1, findings: [{ offset: 8192, code: 'corrupt' }] });
    expect(lines[0]?.['findings']).toEqual([
      expect.not.objectContaining({ bit: expect.anything() }),
    ]);
    expect(readdirSync(mended)).toEqual([]);
  });

  test('tells people where the mended copy is, how to get one, or what to do without one', async () => {
    const { directory, delta } = await layersWithManifests();
    const mended = join(directory, 'mended');
    mkdirSync(mended);
    flip(delta, [8692, 6]);
    const how = await runCli(['manifest', 'check', delta]);
    expect(how.stderr).toContain('--mend DIR writes a copy without flipped bits');
    const where = await runCli(['manifest', 'check', delta, '--mend', mended]);
    expect(where).toMatchObject({ status: 1, stderr: '' });
    expect(where.stdout).toContain(`mended copy: ${join(mended, basename(delta))}`);
    flip(delta, [9000, 1]);
    const without = await runCli(['manifest', 'check', delta, '--mend', mended]);
    expect(without.stdout).not.toContain('mended copy');
    expect(without.stderr).toMatch(/not mended, .*salvage/);
  });

  test('manifest check finds a manifest that is missing, damaged or alone', async () => {
    const { directory, delta, image, manifestOf } = await layersWithManifests();
    flip(manifestOf(delta), [5, 1]);
    const damaged = await check(delta);
    expect(damaged.status).toBe(1);
    expect(damaged.lines[0]).toMatchObject({ ok: false, findings: [{ code: 'corrupt' }] });
    rmSync(manifestOf(delta));
    rmSync(image);
    const { status, lines } = await check(directory);
    expect(status).toBe(1);
    expect(lines).toMatchObject([
      {
        path: delta,
        findings: [{ code: 'not-found', message: `no manifest: expected ${manifestOf(delta)}` }],
      },
      {
        path: image,
        findings: [
          { code: 'not-found', message: `no file, only its manifest ${manifestOf(image)}` },
        ],
      },
    ]);
  });

  test('manifest check of a directory finds layers that are gone by their manifests elsewhere', async () => {
    const { directory, delta, image } = await buildSmallLayers();
    // Below the directory, where they are found when layers are searched for.
    const manifests = join(directory, 'manifests');
    mkdirSync(manifests);
    const place = ['--manifests', manifests];
    await runCli(['manifest', 'create', directory, ...place]);
    writeFileSync(join(manifests, 'manifest-base.tar'), 'of no layer');
    const clean = await check(directory, ...place);
    expect(clean.status).toBe(0);
    expect(clean.lines).toHaveLength(2);
    rmSync(image);
    const name = basename(image);
    const message = `no file, only its manifest ${join(manifests, `manifest-${name}`)}`;
    const lost = { path: name, ok: false, findings: [{ code: 'not-found', message }], errors: 1 };
    const { status, lines } = await check(directory, ...place);
    expect(status).toBe(1);
    expect(lines).toMatchObject([{ path: delta, ok: true }, lost]);
    const shards: Record<string, unknown>[] = [];
    for (const shard of ['0/2', '1/2'])
      shards.push(...(await check(directory, ...place, '--shard', shard)).lines);
    expect(shards.filter(({ path }) => path === name)).toMatchObject([lost]);
    // Of files that are given, others need not be there; nor is there anything to make.
    expect((await check(delta, ...place)).status).toBe(0);
    const made = await runCli(['manifest', 'create', directory, ...place, '--skip-existing']);
    expect(made).toMatchObject({ status: 0, stdout: '' });
  });

  test('manifest check does not report missing layers if it could not look', async () => {
    const { directory, delta, image } = await buildSmallLayers();
    const manifests = temporaryDirectory();
    const place = ['--manifests', manifests];
    await runCli(['manifest', 'create', directory, ...place]);
    rmSync(image);
    const result = await check(directory, `${directory}-misspelled`, ...place);
    expect(result.status).toBe(3);
    expect(result.lines).toMatchObject([{ path: delta, ok: true }]);
  });

  test('manifest check of a file that is not there could not look', async () => {
    const { delta } = await layersWithManifests();
    const { status, stderr, lines } = await check(`${delta}x`, delta);
    expect(status).toBe(3);
    expect(parseLines(stderr)).toMatchObject([{ error: { code: 'not-found', path: `${delta}x` } }]);
    expect(lines).toMatchObject([{ path: delta, ok: true }]);
  });

  test('manifest check of a version that is not known says so', async () => {
    const { delta, manifestOf } = await layersWithManifests();
    const text = readFileSync(manifestOf(delta), 'utf8');
    writeFileSync(manifestOf(delta), text.replace('{"manifest":1', '{"manifest":9'));
    expect((await check(delta)).status).toBe(4);
  });
});

describe('manifests beside layers', () => {
  test('no command treats manifests beside layers as layers', async () => {
    const { directory, sorted } = await layersWithManifests();
    const verified = await runCli(['verify', directory, '--ndjson']);
    expect(verified).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(verified.stdout).map(({ path }) => path)).toEqual(sorted);
    const listed = parseLines((await runCli(['ls', directory, '--ndjson'])).stdout);
    expect(listed.map(({ name }) => name)).toEqual(sorted.map((path) => basename(path)));
    const names = readdirSync(directory).join('\n');
    const named = await runCli(['ls', '-', '--ndjson'], { stdin: names });
    expect(parseLines(named.stdout)).toHaveLength(2);
    const checked = await runCli(['check', directory, '--json']);
    expect(checked.status).toBe(0);
    expect(checked.stdout).toContain('manifest, which keeps a pageserver from loading');
    const found = await runCli(['find', directory, keyText(1), '--ndjson']);
    expect(found.status).toBe(0);
  });

  test('manifests beside layers are written by build', async () => {
    const out = temporaryDirectory();
    const lines = [IMAGE_HEADER, { key: keyText(1), hex: PAGE }];
    const stdin = lines.map((line) => JSON.stringify(line)).join('\n');
    const built = await runCli(['build', '--out', out, '--manifest'], { stdin });
    const { path, name, manifest } = parseLines(built.stdout)[0] ?? {};
    expect(manifest).toBe(join(out, `manifest-${name}`));
    expect((await check(String(path))).status).toBe(0);
    const copy = join(temporaryDirectory(), 'copy');
    copyFileSync(String(path), copy);
    const again = await runCli(['build', '--out', out, '--manifest'], { stdin });
    expect(again.status).toBe(1);
    expect(readFileSync(String(path))).toEqual(readFileSync(copy));
  });
});
