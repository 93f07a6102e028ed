import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fabricateCluster, pages } from '../postgres/fabricated-cluster.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from './support.ts';

const KEY = '000000067F00000005000040000000000007';
const HEADER = {
  kind: 'image',
  tenant_id: '000102030405060708090a0b0c0d0e0f',
  timeline_id: 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
  key_start: '000000067F00000005000040000000000000',
  key_end: '000000067F00000005000040000000000010',
  lsn: '0/1000',
};
const SPEC = `${JSON.stringify(HEADER)}\n${JSON.stringify({ key: KEY, hex: '00'.repeat(8192) })}\n`;
const IDS = ['--tenant', 'AB'.repeat(16), '--timeline', '11'.repeat(16)];

/** A layer with one page, alone in its directory. */
async function makeLayer(): Promise<string> {
  const directory = temporaryDirectory();
  const { stdout } = await runCli(['build', '--out', directory], { stdin: SPEC });
  return String(parseLines(stdout)[0]?.['path']);
}

describe('a page is not exported over the layer that it comes from', () => {
  test.each<[string, (layer: string) => string]>([
    ['by its own name', (layer) => layer],
    ['by a way around', (layer) => join(dirname(layer), '.', 'x', '..', basename(layer))],
    [
      'through a symbolic link',
      (layer) => {
        symlinkSync(layer, join(dirname(layer), 'link'));
        return join(dirname(layer), 'link');
      },
    ],
    [
      'through a link to its directory',
      (layer) => {
        symlinkSync(dirname(layer), join(dirname(layer), 'here'));
        return join(dirname(layer), 'here', basename(layer));
      },
    ],
    [
      'under its second name',
      (layer) => {
        linkSync(layer, join(dirname(layer), 'second'));
        return join(dirname(layer), 'second');
      },
    ],
  ])('a page is not exported over the layer that it comes from, %s', async (_, outOf) => {
    const layer = await makeLayer();
    const before = readFileSync(layer);
    mkdirSync(join(dirname(layer), 'x'));
    const out = outOf(layer);
    const names = readdirSync(dirname(layer));
    const result = await runCli(['export', 'page', layer, KEY, '--out', out, '--json']);
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(parseError(result)['code']).toBe('usage');
    expect(readFileSync(layer).equals(before)).toBe(true);
    expect(readdirSync(dirname(layer))).toEqual(names);
  });

  test('a page is not exported over the layer that it comes from where the layer is named by a link', async () => {
    const layer = await makeLayer();
    const before = readFileSync(layer);
    const link = join(temporaryDirectory(), 'link');
    symlinkSync(layer, link);
    const result = await runCli(['export', 'page', link, KEY, '--out', layer]);
    expect(result.status).toBe(2);
    expect(readFileSync(layer).equals(before)).toBe(true);
  });

  test('a page is not exported over the layer that it comes from where it has the name of what a crash leaves of the output', async () => {
    const layer = await makeLayer();
    const out = join(dirname(layer), 'page');
    renameSync(layer, `${out}.___temp`);
    const result = await runCli(['export', 'page', `${out}.___temp`, KEY, '--out', out]);
    expect(result.status).toBe(2);
    expect(readdirSync(dirname(layer))).toEqual(['page.___temp']);
  });

  test('a page is exported beside its layer, over another file', async () => {
    const layer = await makeLayer();
    const out = join(dirname(layer), 'page');
    writeFileSync(out, 'old');
    expect((await runCli(['export', 'page', layer, KEY, '--out', out])).status).toBe(0);
    expect(readFileSync(out).length).toBe(8192);
  });
});

describe('a layer is not built over its spec', () => {
  test.each(['by its name', 'through a link'])(
    'a layer is not built over a spec that has the name of the layer, %s',
    async (how) => {
      const layer = await makeLayer();
      writeFileSync(layer, SPEC);
      const spec = how === 'by its name' ? layer : join(temporaryDirectory(), 'spec');
      if (spec !== layer) symlinkSync(layer, spec);
      const result = await runCli(['build', spec, '--out', dirname(layer), '--json']);
      expect(result).toMatchObject({ status: 2, stdout: '' });
      expect(parseError(result)['code']).toBe('usage');
      expect(readFileSync(layer, 'utf8')).toBe(SPEC);
    },
  );

  test('a layer is not built over its spec that is given as the directory', async () => {
    const spec = join(temporaryDirectory(), 'spec');
    writeFileSync(spec, SPEC);
    expect((await runCli(['build', spec, '--out', spec])).status).toBe(2);
    expect(readFileSync(spec, 'utf8')).toBe(SPEC);
  });

  test('a layer is not built over its spec while another layer of that name is only said to exist', async () => {
    const layer = await makeLayer();
    const result = await runCli(['build', '--out', dirname(layer), '--json'], { stdin: SPEC });
    expect(result.status).toBe(1);
    expect(parseError(result)['code']).toBe('exists');
  });
});

describe('a cluster is not imported into itself', () => {
  test.each<[string, (directory: string) => string]>([
    ['into the data directory', (directory) => directory],
    ['into a database', (directory) => join(directory, 'base/5')],
    [
      'through a link',
      (directory) => {
        const link = join(temporaryDirectory(), 'link');
        symlinkSync(join(directory, 'base'), link);
        return link;
      },
    ],
    [
      'into a tablespace elsewhere',
      (directory) => {
        const elsewhere = temporaryDirectory();
        mkdirSync(join(elsewhere, 'PG_17_202406281'));
        symlinkSync(elsewhere, join(directory, 'pg_tblspc/16400'));
        return join(elsewhere, 'PG_17_202406281');
      },
    ],
    [
      'into its WAL elsewhere',
      (directory) => {
        const elsewhere = temporaryDirectory();
        symlinkSync(elsewhere, join(directory, 'pg_wal'));
        return elsewhere;
      },
    ],
  ])('a cluster is not imported into itself, %s', async (_, outOf) => {
    const directory = fabricateCluster({ 'base/5/16384': pages(1, 1) });
    const out = outOf(directory);
    const names = readdirSync(out);
    const result = await runCli(['import', 'pgdata', directory, '--out', out, ...IDS, '--json']);
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(parseError(result)['code']).toBe('usage');
    expect(readdirSync(out)).toEqual(names);
  });

  test('a cluster is imported into the directory that it lies in', async () => {
    const directory = fabricateCluster({ 'base/5/16384': pages(1, 1) });
    const out = temporaryDirectory();
    renameSync(directory, join(out, 'data'));
    const result = await runCli(['import', 'pgdata', join(out, 'data'), '--out', out, ...IDS]);
    expect(result.status).toBe(0);
    mkdirSync(directory);
  });
});

describe('an output of -', () => {
  test('an output of - is standard output where a file is meant', async () => {
    const layer = await makeLayer();
    const result = await runCli(['export', 'page', layer, KEY, '--out', '-']);
    expect(result.status).toBe(0);
    expect(result.stdoutBytes.length).toBe(8192);
    expect(existsSync('-')).toBe(false);
    const shown = await runCli(['export', 'page', layer, KEY, '--out', '-'], { terminal: true });
    expect(shown).toMatchObject({ status: 2, stdout: '' });
  });

  test.each([
    ['build', ['build', '--out', '-']],
    ['import', ['import', 'pgdata', '.', '--out', '-', ...IDS]],
    ['build, as nothing', ['build', '--out', '']],
  ])('an output of - is wrong usage where a directory is meant: %s', async (_, words) => {
    const result = await runCli(words, { stdin: SPEC });
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(result.stderr).toContain('directory');
    expect(existsSync('-')).toBe(false);
  });
});

describe('an output directory that does not exist is named itself', () => {
  test.each<[string, (out: string) => string[], string]>([
    ['by build', (out) => ['build', '--out', out], 'missing'],
    [
      'by import',
      (out) => ['import', 'pgdata', fabricateCluster({ 'base/5/7': '' }), '--out', out, ...IDS],
      'missing',
    ],
    ['by export', (out) => ['export', 'page', 'LAYER', KEY, '--out', join(out, 'page')], 'missing'],
  ])(
    'an output directory that does not exist is named in the error, %s',
    async (_, wordsOf, name) => {
      const out = join(temporaryDirectory(), name);
      const layer = await makeLayer();
      const words = wordsOf(out).map((word) => (word === 'LAYER' ? layer : word));
      const result = await runCli([...words, '--json'], { stdin: SPEC });
      expect(result).toMatchObject({ status: 3, stdout: '' });
      expect(parseError(result)).toMatchObject({ code: 'not-found', path: out });
      expect(result.stderr).not.toContain('___temp');
    },
  );

  test('an output directory that does not exist is named itself, as is a file in its place', async () => {
    const out = join(temporaryDirectory(), 'file');
    writeFileSync(out, '');
    const result = await runCli(['build', '--out', out, '--json'], { stdin: SPEC });
    expect(result.status).toBe(3);
    expect(parseError(result)).toMatchObject({ code: 'io', path: out });
  });
});
