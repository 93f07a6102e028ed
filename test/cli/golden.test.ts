/** What Neon's own writer wrote, through the command line and back. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodeJson } from '../../src/cli/json.ts';
import { fitsPageserver, parseKey } from '../../src/layers/key.ts';
import { GOLDEN_DIRECTORY, goldenLayers } from '../support/golden.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseLines, runCli } from './support.ts';

const LAYERS = goldenLayers().map((layer) => [layer.manifest.case, layer] as const);

describe.each(LAYERS)('%s', (name, { manifest, path }) => {
  const { header, summary } = manifest;
  const unfit = manifest.dump.filter(({ key }) => !fitsPageserver(parseKey(key)));

  test(`inspect prints the summary of ${name}`, async () => {
    const result = await runCli(['inspect', path, '--json']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(result.stdout)).toEqual([
      {
        path,
        kind: manifest.kind,
        size: manifest.size,
        format_version: 3,
        ...header,
        index_start_blk: summary.index_start_blk,
        index_root_blk: summary.index_root_blk,
        name_matches: true,
      },
    ]);
    expect(await runCli(['inspect', path, '--ndjson'])).toEqual(result);
  });

  test(`dump prints what Neon reads in ${name}`, async () => {
    const hex = await runCli(['dump', path, '--ndjson', '--values', 'hex']);
    expect(hex).toMatchObject({ status: 0, stderr: '' });
    const lines = parseLines(hex.stdout);
    expect(lines.map(toManifestForm)).toEqual(
      manifest.dump.map(({ hex, sha256, ...entry }) => ({
        compressed: false,
        ...Object.fromEntries(Object.entries(entry).filter(([name]) => name !== 'value')),
        sha256: sha256 ?? sha256OfHex(hex ?? ''),
      })),
    );
    const digests = await runCli(['dump', path, '--json', '--values', 'sha256']);
    expect(digests).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(digests.stdout)).toEqual(
      lines.map(({ hex, ...line }) => ({ ...line, sha256: sha256OfHex(String(hex)) })),
    );
  });

  test(`build makes ${name} again from what inspect and dump print, unfit keys only if allowed`, async () => {
    const spec = await specOf(path);
    const isCompressed = manifest.dump.some((entry) => entry.compressed);
    const generation = /-v1-([0-9a-f]{8})$/.exec(path)?.[1];
    const out = temporaryDirectory();
    const words = [
      ...['build', '--out', out],
      ...(isCompressed || manifest.kind === 'delta' ? [] : ['--no-compress']),
      ...(generation === undefined ? [] : ['--zstd', '3', '--generation', generation]),
    ];
    if (unfit.length > 0) {
      const refused = await runCli(words, { stdin: spec });
      expect([refused.status, refused.stdout]).toEqual([1, '']);
      expect(refused.stderr).toContain('key that a pageserver cannot hold');
      expect(readdirSync(out)).toEqual([]);
      words.push('--allow-unfit-keys');
    }
    const { status, stdout, stderr } = await runCli(words, { stdin: spec });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const [line] = parseLines(stdout);
    expect(line).toEqual({
      path: join(out, manifest.file),
      name: manifest.file,
      size: manifest.size,
      entries: manifest.dump.length,
      index_start_blk: summary.index_start_blk,
      index_root_blk: summary.index_root_blk,
    });
    expect(readdirSync(out)).toEqual([manifest.file]);
    const built = join(out, manifest.file);
    if (isCompressed) {
      expect(sha256Of(withoutPlaces(await specOf(built)))).toBe(sha256Of(withoutPlaces(spec)));
    } else {
      expect(sha256Of(readFileSync(built))).toBe(manifest.sha256);
    }
  });

  test(`verify finds nothing in ${name} but keys that a pageserver cannot hold`, async () => {
    const result = await runCli(['verify', path, '--json']);
    expect(result).toMatchObject({ status: unfit.length > 0 ? 1 : 0, stderr: '' });
    const ok = unfit.length === 0;
    const findings = unfit.map(() => expect.objectContaining({ code: 'out-of-range' }));
    expect(JSON.parse(result.stdout)).toEqual({
      ok,
      files: [
        {
          path,
          ok,
          entries: manifest.dump.length,
          bytes: manifest.size,
          findings,
          errors: unfit.length,
          warnings: 0,
        },
      ],
    });
  });

  test(`index lists the nodes of ${name}`, async () => {
    const result = await runCli(['index', path, '--ndjson']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    const blocks = parseLines(result.stdout);
    expect(blocks.map((block) => block['block'])).toEqual(blocks.map((_, index) => index));
    expect(
      blocks.map(({ entries, level, prefix_len, suffix_len }) => ({
        num_children: entries,
        level,
        prefix_len,
        suffix_len,
      })),
    ).toEqual(manifest.index.nodes);
    expect(blocks.at(-1)?.['first_key']).toBe(manifest.dump[0]?.key);
    const names = ['first_key', 'last_key', 'first_lsn', 'last_lsn'];
    const expected = manifest.kind === 'delta' ? names : names.slice(0, 2);
    for (const block of blocks) expect(Object.keys(block).slice(5)).toEqual(expected);
  });

  test(`get finds the newest entry of some keys of ${name}`, async () => {
    const newest = new Map(manifest.dump.map((entry) => [entry.key, entry]));
    for (const entry of [...newest.values()].slice(0, 5)) {
      const result = await runCli(['get', path, entry.key, '--json']);
      expect(result).toMatchObject({ status: 0, stderr: '' });
      const [{ found, ...line } = {}] = parseLines(result.stdout);
      expect(found).toBe(true);
      expect(toManifestForm(line)).toMatchObject({ off: entry.off, lsn: entry.lsn });
    }
  });
});

describe.each(
  ['15-metadata-v4', '16-metadata-v3'].flatMap((name) => {
    const directory = join(GOLDEN_DIRECTORY, 'layers', name);
    const manifest: MetadataManifest = JSON.parse(
      readFileSync(join(directory, 'manifest.json'), 'utf8'),
    );
    return manifest.files.map((file) => [`${name}/${file.file}`, directory, file] as const);
  }),
)('%s', (name, directory, { file, decoded }) => {
  test(`metadata prints the fields of ${name}`, async () => {
    const result = await runCli(['metadata', join(directory, file), '--json']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    const { size: _size, index_part_json: _json, ...fields } = decoded;
    expect(parseLines(result.stdout)).toEqual([fields]);
  });
});

interface MetadataManifest {
  readonly files: readonly { readonly file: string; readonly decoded: Record<string, unknown> }[];
}

function toManifestForm(line: Record<string, unknown>): Record<string, unknown> {
  const { offset, hex, ...others } = line;
  return { ...others, off: offset, sha256: sha256OfHex(String(hex)) };
}

async function specOf(path: string): Promise<string> {
  const header = await runCli(['inspect', path, '--json']);
  const entries = await runCli(['dump', path, '--ndjson', '--values', 'json']);
  expect([header.status, entries.status]).toEqual([0, 0]);
  return header.stdout + entries.stdout;
}

/** What compression with another version of zstd may change, and the path. */
function withoutPlaces(spec: string): string {
  return parseLines(spec)
    .map(({ path: _, offset: _offset, stored_len: _length, ...rest }) =>
      encodeJson(JSON.parse(JSON.stringify(rest))),
    )
    .join('\n');
}

function sha256Of(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function sha256OfHex(hex: string): string {
  return sha256Of(Buffer.from(hex, 'hex'));
}
