import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { crc32cOf } from '../../../src/checksum.ts';
import { corruptFiles, goldenLayers } from '../../support/golden.ts';
import { unpackTimelines } from '../../support/golden-timelines.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from '../support.ts';

const PLACE = 'tenants/000102030405060708090a0b0c0d0e0f/timelines/11223344556677881122334455667788';
let golden = '';
/** Remote names, those of images first. */
let names: string[] = [];

beforeAll(async () => {
  golden = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
  await unpackTimelines('sk15', golden);
  names = layersOf(golden);
});

afterAll(() => rmSync(golden, { recursive: true }));

function layersOf(root: string): string[] {
  return readdirSync(join(root, PLACE)).filter((name) => !name.startsWith('index_part'));
}

function canonical(name: string): string {
  return name.replace(/-[0-9a-f]{8}$/, '');
}

/** A copy that can be damaged. */
function copyOfGolden(): { readonly root: string; readonly at: (name: string) => string } {
  const root = temporaryDirectory();
  cpSync(golden, root, { recursive: true });
  return { root, at: (name) => join(root, PLACE, name) };
}

async function checkLines(...words: string[]) {
  const result = await runCli(['check', ...words, '--ndjson']);
  const lines = parseLines(result.stdout);
  const { summary, findings } = Object(lines.at(-1));
  return { ...result, layers: lines.slice(0, -1), summary, findings };
}

function notOk(layers: readonly Record<string, unknown>[]) {
  return layers.filter((layer) => layer['state'] !== 'ok' || layer['ok'] !== true);
}

describe('the timeline of a pageserver', () => {
  test('the timeline of a pageserver is clean, to every byte', async () => {
    const { status, stderr, layers, summary, findings } = await checkLines(golden, '--deep');
    expect([status, stderr, findings]).toEqual([0, '', []]);
    expect(layers.map((layer) => layer['name'])).toEqual(names.map(canonical).sort());
    expect(notOk(layers)).toEqual([]);
    expect(summary).toEqual({ layers: 9, ok: true, errors: 0, warnings: 0, unknown: 0, holes: 0 });
  });

  test('the timeline of a pageserver is one document with --json, of the same layers', async () => {
    const lines = await checkLines(golden);
    const { stdout } = await runCli(['check', golden, '--json']);
    const { layers, summary, findings } = lines;
    expect(JSON.parse(stdout)).toEqual({ layers, summary, findings });
  });

  test('the timeline of a pageserver is one line for people', async () => {
    expect(await runCli(['check', golden])).toMatchObject({
      status: 0,
      stdout: '9 layers, 9 ok: ok\n',
    });
    expect(await runCli(['check', golden, '--quiet'])).toMatchObject({ status: 0, stdout: '' });
  });

  test('the timeline of a pageserver is split among workers by the CRC-32C of the names', async () => {
    const parts = await Promise.all(
      [0, 1, 2].map(async (part) => (await checkLines(golden, '--shard', `${part}/3`)).layers),
    );
    for (const [part, layers] of parts.entries()) {
      for (const { name } of layers) expect(crc32cOf(Buffer.from(String(name))) % 3).toBe(part);
    }
    expect(parts.flat()).toHaveLength(9);
  });
});

describe('damage is reported by its kind', () => {
  test('check finds a layer missing', async () => {
    const { root, at } = copyOfGolden();
    const image = names.find((name) => canonical(name).length === 91) ?? '';
    rmSync(at(image));
    const { status, layers } = await checkLines(root);
    expect(status).toBe(1);
    expect(notOk(layers)).toMatchObject([
      { name: canonical(image), state: 'missing', ok: false, findings: [{ code: 'not-found' }] },
    ]);
  });

  test('check finds a layer cut', async () => {
    const { root, at } = copyOfGolden();
    const [name = ''] = names;
    truncateSync(at(name), 16_384);
    const { status, layers } = await checkLines(root, '--deep');
    expect(status).toBe(1);
    const [layer = {}, ...others] = notOk(layers);
    expect(others).toEqual([]);
    expect(layer).toMatchObject({ name: canonical(name), state: 'size-differs', ok: false });
    expect(JSON.stringify(layer['findings'])).toContain('"code":"truncated"');
  });

  test('check finds a layer of another size', async () => {
    const { root, at } = copyOfGolden();
    const [name = ''] = names;
    writeFileSync(at(name), new Uint8Array(8192), { flag: 'a' });
    const { status, layers } = await checkLines(root);
    expect(status).toBe(1);
    expect(notOk(layers)).toMatchObject([{ name: canonical(name), state: 'size-differs' }]);
  });

  test('check finds a layer of another generation', async () => {
    const { root, at } = copyOfGolden();
    const [name = ''] = names;
    renameSync(at(name), at(`${canonical(name)}-00000002`));
    const { status, layers } = await checkLines(root);
    expect(status).toBe(1);
    expect(notOk(layers)).toMatchObject([{ name: canonical(name), state: 'generation-differs' }]);
  });

  test('check finds two layers whose names are swapped, whatever the index says of their sizes', async () => {
    const { root, at } = copyOfGolden();
    const [a = '', b = ''] = names;
    renameSync(at(a), at('between'));
    renameSync(at(b), at(a));
    renameSync(at('between'), at(b));
    const index = at('index_part.json-00000001');
    const json = JSON.parse(readFileSync(index, 'utf8'));
    const layer = json.layer_metadata;
    [layer[canonical(a)], layer[canonical(b)]] = [layer[canonical(b)], layer[canonical(a)]];
    writeFileSync(index, JSON.stringify(json));
    const { status, layers } = await checkLines(root);
    expect(status).toBe(1);
    const wrong = notOk(layers);
    expect(wrong).toMatchObject([
      { state: 'ok', ok: false },
      { state: 'ok', ok: false },
    ]);
    expect(JSON.stringify(wrong)).toContain('summary does not match the name');
  });

  test('check finds an index that is older than the layers', async () => {
    const { root, at } = copyOfGolden();
    const index = at('index_part.json-00000001');
    const json = JSON.parse(readFileSync(index, 'utf8'));
    json.disk_consistent_lsn = json.metadata_bytes.disk_consistent_lsn = '0/14AEC08';
    const [gone = ''] = names;
    delete json.layer_metadata[canonical(gone)];
    writeFileSync(index, JSON.stringify(json));
    const { layers } = await checkLines(root);
    const states = notOk(layers).map(({ state }) => state);
    expect(states.filter((state) => state === 'future').length).toBeGreaterThan(0);
    expect(layers.find(({ name }) => name === canonical(gone))).toMatchObject({ state: 'extra' });
  });

  test('check finds layers of a later generation than the index', async () => {
    const { root, at } = copyOfGolden();
    const [name = ''] = names;
    for (const lsn of ['0000000001000000', '0000000001000008']) {
      const later = `${'0'.repeat(36)}-${'0'.repeat(35)}1__${lsn}`;
      copyFileSync(at(name), at(`${later}-0000000b`));
    }
    // Of the generation of the index: only a file too many.
    copyFileSync(at(name), at(`${'0'.repeat(36)}-${'0'.repeat(35)}2__0000000001000000-00000001`));
    const { status, findings } = await checkLines(root, '--summaries', 'no');
    expect(status).toBe(1);
    const message =
      'index may be stale: it is of generation 00000001, and 2 layers that it does not have are of later ones, ' +
      'up to generation 0000000b';
    expect(findings).toEqual([{ severity: 'warning', code: 'not-found', message }]);
  });

  test('check finds a file too many', async () => {
    const { root, at } = copyOfGolden();
    const [name = ''] = names;
    const extra = `${'0'.repeat(36)}-${'0'.repeat(35)}1__0000000001000000`;
    copyFileSync(at(name), at(`${extra}-00000001`));
    const { status, layers } = await checkLines(root);
    expect(status).toBe(1);
    expect(notOk(layers)).toMatchObject([{ name: extra, state: 'extra' }]);
  });

  test('check finds leftovers of a writer, and an unknown object', async () => {
    const { root, at } = copyOfGolden();
    writeFileSync(at('ephemeral-7'), '');
    writeFileSync(at('notes\x1b[2J'), '');
    const { status, layers, findings, stdout } = await checkLines(root);
    expect(status).toBe(0);
    expect(notOk(layers)).toMatchObject([{ name: 'ephemeral-7', state: 'leftover', ok: true }]);
    expect(findings).toMatchObject([{ severity: 'warning', code: 'invalid-input' }]);
    expect(stdout).not.toContain('\x1b');
  });

  test.each([
    ['no JSON', '<html>', 'corrupt'],
    ['cut', '{"version":15,"layer_metadata":{', 'corrupt'],
  ])('an index that is %s makes what is there unknown, not extra', async (_, text, code) => {
    const { root, at } = copyOfGolden();
    writeFileSync(at('index_part.json-00000001'), text);
    const { status, layers, findings } = await checkLines(root);
    expect(status).toBe(1);
    expect(findings).toMatchObject([{ severity: 'error', code }]);
    expect(new Set(layers.map(({ state }) => state))).toEqual(new Set(['unknown']));
  });

  test('check says so of a version that is not known', async () => {
    const { root, at } = copyOfGolden();
    const index = at('index_part.json-00000001');
    writeFileSync(index, readFileSync(index, 'utf8').replace(/"version":\d+/, '"version":99'));
    const { status, findings } = await checkLines(root);
    expect(status).toBe(1);
    expect(findings).toMatchObject([{ code: 'unsupported-version' }]);
  });

  test('check finds a flipped bit, by every byte only', async () => {
    const { root, at } = copyOfGolden();
    const [name = ''] = names;
    const bytes = readFileSync(at(name));
    bytes[8192] = (bytes[8192] ?? 0) ^ 0x40;
    writeFileSync(at(name), bytes);
    expect((await checkLines(root)).status).toBe(0);
    const { status, layers } = await checkLines(root, '--deep');
    expect(status).toBe(1);
    expect(notOk(layers)).toMatchObject([{ name: canonical(name), state: 'ok', ok: false }]);
  });
});

describe('the directory of a pageserver', () => {
  /** The layers under their local names, without an index. */
  function localCopy(): string {
    const root = temporaryDirectory();
    for (const name of names) {
      const local = `${canonical(name)}-v1-${name.slice(-8)}`;
      copyFileSync(join(golden, PLACE, name), join(root, local));
    }
    return root;
  }

  test('the directory of a pageserver alone says nothing about what belongs to the timeline', async () => {
    const { status, summary, findings } = await checkLines(localCopy());
    expect(status).toBe(0);
    expect(summary).toMatchObject({ layers: 9, unknown: 9, ok: true });
    expect(findings).toMatchObject([{ severity: 'warning', code: 'not-found' }]);
  });

  test('the directory of a pageserver against its bucket has the decisions of a start', async () => {
    const root = localCopy();
    const [kept, evicted = '', cut = ''] = readdirSync(root).sort();
    rmSync(join(root, evicted));
    truncateSync(join(root, cut), 8192);
    writeFileSync(join(root, `${cut}.temp_download`), '');
    const { status, layers } = await checkLines(root, '--against', golden);
    expect(status).toBe(1);
    const decisions = new Map(
      layers.map(({ name, state, decision }) => [name, { state, decision }]),
    );
    const at = (name: string | undefined) => decisions.get(name?.replace(/-v1-.*/, ''));
    expect(at(kept)).toEqual({ state: 'ok', decision: 'keep' });
    expect(at(evicted)).toEqual({ state: 'ok', decision: 'download' });
    expect(at(cut)).toEqual({ state: 'size-differs', decision: 'evict' });
  });

  test('an unknown file in the directory of a pageserver keeps the tenant from being loaded', async () => {
    const root = localCopy();
    writeFileSync(join(root, 'metadata'), '');
    const { status, findings } = await checkLines(root);
    expect(status).toBe(1);
    expect(JSON.stringify(findings)).toContain('keeps a pageserver from loading the tenant');
  });
});

describe('layers that are named', () => {
  const VALID = goldenLayers()
    .slice(0, 3)
    .map(({ path }) => path);
  const DAMAGED = corruptFiles().find((file) => file.id === '27-num-children-huge')?.path ?? '';

  test('layers that are named on standard input are a line each, in their order, and restartable', async () => {
    const missing = join(temporaryDirectory(), 'missing');
    const paths = [...VALID, DAMAGED, missing];
    const words = ['check', '--deep', '--files-from', '-', '--ndjson'];
    const result = await runCli(words, { stdin: `${paths.join('\r\n')}\n\n` });
    const lines = parseLines(result.stdout);
    expect(lines.slice(0, -1).map(({ name }) => name)).toEqual(paths);
    expect(lines.slice(0, -1).map(({ state, ok }) => [state, ok])).toEqual([
      ...VALID.map(() => ['ok', true]),
      ['ok', false],
      ['missing', false],
    ]);
    expect(lines.at(-1)).toMatchObject({ summary: { layers: 5, ok: false }, findings: [] });
    expect(result.status).toBe(1);
    const rest = await runCli(words, { stdin: paths.slice(0, 2).join('\n') });
    expect(parseLines(rest.stdout).slice(0, 2)).toEqual(lines.slice(0, 2));
  });

  test('layers that are named are checked by the worker of their share', async () => {
    const taken: unknown[] = [];
    for (const share of ['0/2', '1/2']) {
      const words = ['check', '--files-from', '-', '--shard', share, '--ndjson'];
      const { stdout } = await runCli(words, { stdin: VALID.join('\n') });
      taken.push(
        ...parseLines(stdout)
          .slice(0, -1)
          .map(({ name }) => name),
      );
    }
    expect(taken.sort()).toEqual([...VALID].sort());
  });

  test('named layers that cannot be examined are unknown, with exit status 3', async () => {
    const directory = temporaryDirectory();
    const result = await runCli(['check', '--files-from', '-', '--ndjson'], { stdin: directory });
    expect(result.status).toBe(3);
    expect(parseLines(result.stdout)[0]).toMatchObject({ state: 'unknown', ok: false });
  });

  test('layers that are named below a source are the only ones that are checked', async () => {
    const file = join(temporaryDirectory(), 'names');
    writeFileSync(file, `${names[0]}\n`);
    const { layers } = await checkLines(golden, '--files-from', file);
    expect(layers.map(({ name }) => name)).toEqual([canonical(names[0] ?? '')]);
  });
});

describe('what is not read', () => {
  test('what is not read is unknown once the byte budget is used up', async () => {
    const { status, summary } = await checkLines(golden, '--byte-budget', '20000');
    expect(status).toBe(0);
    expect(summary).toMatchObject({ layers: 9, ok: true, unknown: 7, warnings: 7 });
  });

  test('what is not read has no effect with --summaries no', async () => {
    const { root, at } = copyOfGolden();
    const [name = ''] = names;
    const { length } = readFileSync(at(name));
    writeFileSync(at(name), new Uint8Array(length));
    expect((await checkLines(root, '--summaries', 'no')).status).toBe(0);
    expect((await checkLines(root)).status).toBe(1);
  });
});

test.each([
  [['check'], 'a source, or --files-from, is missing'],
  [['check', '.', '--shard', '3/3'], 'Expected I/N'],
  [['check', '.', '-j', '0'], 'Expected a number from 1 to 1024'],
])('check with the arguments %j is wrong usage', async (words, message) => {
  const result = await runCli(words);
  expect(result.status).toBe(2);
  expect(result.stderr).toContain(message);
});

test('a source that is missing is 3', async () => {
  const result = await runCli(['check', join(temporaryDirectory(), 'missing'), '--json']);
  expect(result.status).toBe(3);
  expect(parseError(result)).toMatchObject({ code: 'not-found' });
});
