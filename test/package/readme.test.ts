/** What the README shows is what the package does. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const README = readFileSync(`${ROOT}README.md`, 'utf8');
const EXAMPLE = `${ROOT}examples/write-read-dump.mjs`;
const COMMAND = `${ROOT}dist/cli.js`;

it('the README shows the example as it is run here', () => {
  expect(README).toContain(readFileSync(EXAMPLE, 'utf8'));
});

it('the README shows what the example prints and what the command shows of its file', () => {
  const cwd = temporaryDirectory();
  const run = (...args: string[]) =>
    execFileSync(process.execPath, args, {
      cwd,
      encoding: 'utf8',
      env: { ...process.env, NO_COLOR: '1' },
    });
  const lines = run(EXAMPLE).trimEnd().split('\n');
  expect(lines.slice(0, 3)).toEqual(['wal', '1008 8192 8204', '1010 16400 25']);
  const path = lines[3]?.replace('layerfile dump ', '') ?? '';
  for (const command of ['dump', 'index']) {
    expect(README).toContain(run(COMMAND, command, path).trimEnd());
  }
});

it('the README shows what verify says of a damaged file', () => {
  const path = 'test/golden/corrupt/50-zstd-bomb';
  const { status, stdout } = spawnSync(process.execPath, [COMMAND, 'verify', path], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
  expect(status).toBe(1);
  expect(README).toContain(`$ layerfile verify ${path}\n${stdout}`);
});

it('the README has every command in its table, and every entry of the package', () => {
  const help = execFileSync(process.execPath, [COMMAND, '--help'], { encoding: 'utf8' });
  const [, list = ''] = /^Commands:\n((?: .*\n)+)/m.exec(help) ?? [];
  const commands = [...list.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name);
  const first = (rows: RegExpMatchArray | null) =>
    (rows ?? []).flatMap((row) =>
      [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
    );
  const shown = first(tableOf('| command | does |')).map((name) => name.split(' ')[0]);
  const offered = commands.filter((name) => name !== 'help');
  expect([...new Set(shown)].sort()).toEqual(offered.sort());
  const { exports } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  const entries = Object.keys(exports)
    .filter((name) => !/package\.json|compression-thread/.test(name))
    .map((name) => name.replace('.', 'layerfile'));
  expect(
    first(tableOf('| import | holds |'))
      .filter((name) => /^layerfile/.test(name))
      .sort(),
  ).toEqual(entries.sort());
});

/** The rows below a head. */
function tableOf(head: string): RegExpMatchArray | null {
  const from = README.indexOf(head);
  expect(from).toBeGreaterThan(0);
  const table = README.slice(from, README.indexOf('\n\n', from)).split('\n').slice(2).join('\n');
  return table.match(/^\|.*$/gm);
}

it('names each page of docs', () => {
  const pages = readdirSync(`${ROOT}docs`).filter((name) => name.endsWith('.md'));
  expect(pages.filter((name) => !README.includes(`docs/${name}`))).toEqual([]);
});

it('the README and the pages of docs have no example in a syntax that Node 20 lacks', () => {
  const pages = readdirSync(`${ROOT}docs`).filter((name) => name.endsWith('.md'));
  const texts = [README, ...pages.map((name) => readFileSync(`${ROOT}docs/${name}`, 'utf8'))];
  const blocks = texts.flatMap((text) => [...text.matchAll(/^```js\n(.*?)^```$/gms)]);
  expect(blocks.length).toBeGreaterThan(3);
  const directory = temporaryDirectory();
  for (const [index, [, code = '']] of blocks.entries()) {
    expect(code).not.toContain('await using');
    const path = `${directory}/${index}.mjs`;
    writeFileSync(path, code);
    const { status, stderr } = spawnSync(process.execPath, ['--check', path], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  }
});

it('the README has no link that works only beside the sources, but for pictures that travel along', () => {
  const targets = [...README.matchAll(/(!?)\[[^\]]*\]\(([^)]+)\)/g)];
  const local = targets.filter(([, , target = '']) => !/^(#|https:)/.test(target));
  expect(local.map(([, mark, target]) => `${mark}${target}`)).toEqual(['!docs/images/map.png']);
  expect(statSync(`${ROOT}docs/images/map.png`).size).toBeLessThan(150_000);
});

it('names files that travel in the package', () => {
  const { files } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  const named = [...README.matchAll(/`((?:docs\/)?[\w-]+\.md)`/g)].map(([, path]) => path ?? '');
  expect(named.length).toBeGreaterThan(0);
  for (const path of named) {
    expect(readFileSync(`${ROOT}${path}`).length).toBeGreaterThan(0);
    expect(files).toContain(path.split('/')[0]);
  }
});

it('names commands that package.json has', () => {
  const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  for (const [, name] of README.matchAll(/npm run ([a-z:]+)/g))
    expect(scripts).toHaveProperty([name ?? '']);
  expect(scripts).toHaveProperty('test');
});
