import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { STORAGE_ERROR_CODES } from '../src/errors.ts';

/** Small packages that the build includes, so that users neither install nor load them. */
const PACKAGES_IN_BUILD = ['crc-32'];

const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface SourceFile {
  /** From the root of the project, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** Files of the project that it imports, and packages. */
  readonly imports: readonly string[];
  readonly packages: readonly string[];
}

const BELOW_TIMELINE = [
  'leaves',
  'virtual-file',
  'zstd',
  'blob-writer',
  'manifest',
  'layers',
  'write-once',
  'object-store',
  'postgres',
  'wal',
];
const BELOW_RESHAPE = [...BELOW_TIMELINE, 'timeline'];
const BELOW_INGEST = [...BELOW_RESHAPE, 'reshape'];

/** What each part of `src` may import beside itself: downward only. */
const BELOW: Record<string, readonly string[]> = {
  leaves: [],
  'virtual-file': ['leaves'],
  zstd: ['leaves'],
  'blob-writer': ['leaves', 'virtual-file', 'zstd'],
  manifest: ['leaves', 'virtual-file', 'zstd', 'blob-writer'],
  layers: ['leaves', 'virtual-file', 'zstd', 'blob-writer', 'manifest'],
  'write-once': ['leaves', 'virtual-file'],
  'object-store': ['leaves', 'virtual-file', 'zstd', 'blob-writer', 'write-once'],
  postgres: ['leaves', 'virtual-file', 'zstd', 'blob-writer', 'layers'],
  wal: ['leaves', 'virtual-file', 'zstd', 'blob-writer', 'layers', 'object-store', 'postgres'],
  testing: ['leaves', 'virtual-file'],
  timeline: BELOW_TIMELINE,
  reshape: BELOW_RESHAPE,
  ingest: BELOW_INGEST,
  map: ['leaves', 'virtual-file', 'layers', 'timeline', 'postgres'],
  cli: [...BELOW_INGEST, 'ingest', 'map'],
  entry: [...BELOW_INGEST, 'ingest', 'testing'],
};

const LEAVES = [
  'ascii.ts',
  'assert.ts',
  'bincode.ts',
  'byte-words.ts',
  'check-options.ts',
  'checksum.ts',
  'crc32c-module.ts',
  'errors.ts',
  'integers.ts',
  'nearest-name.ts',
  'on-abort.ts',
  'printable.ts',
  'progress.ts',
  'realms.ts',
  'threads.ts',
  'wasm-code.ts',
];

/** What the page of a map is made from, and what runs in it: nothing that does I/O. */
const PURE_TIMELINE = ['src/timeline/layer-map/', 'src/timeline/shard-owner.ts'];
const MAP_PAGE = 'src/map/page/';
const MAP_PAGE_PROGRAM = 'src/map/page/main.ts';

/** Started by its place, not imported. */
const LINE_THREAD_PROGRAM = 'src/cli/wal-line-thread.ts';

/** Of the layers, what depends on nothing but leaves may be used beside them, too. */
const LAYER_LEAVES = ['src/layers/identifier.ts', 'src/layers/lsn.ts'];

const MAXIMUM_LINES = 450;

const sources = filesBelow('src').map(readSource);
const tests = filesBelow('test').map(readSource);
const byPath = new Map(sources.map((source) => [source.path, source]));

describe('imports', () => {
  test('imports lead to existing files, by their complete names', () => {
    const missing = sources.flatMap(({ path, imports }) =>
      imports.filter((target) => !byPath.has(target)).map((target) => `${path} -> ${target}`),
    );
    expect(missing).toEqual([]);
  });

  test('imports go down, or sideways within a folder', () => {
    const upward = sources.flatMap(({ path, imports }) =>
      imports.filter((target) => !mayImport(path, target)).map((target) => `${path} -> ${target}`),
    );
    expect(upward).toEqual([]);
  });

  test('imports make no circle', () => {
    expect(circles()).toEqual([]);
  });

  test('imports of packages are those that package.json names for users, or that are part of the build', () => {
    const manifest: Record<string, Record<string, string>> = JSON.parse(read('package.json'));
    expect(Object.keys(manifest['devDependencies'] ?? {})).toEqual(
      expect.arrayContaining([...PACKAGES_IN_BUILD]),
    );
    const named = [
      ...PACKAGES_IN_BUILD,
      ...Object.keys(manifest['dependencies'] ?? {}),
      ...Object.keys(manifest['optionalDependencies'] ?? {}),
    ];
    const imported = sources.flatMap(({ packages }) => packages);
    expect([...new Set(imported)].sort()).toEqual(named.sort());
  });

  test('imports of what node has carry its prefix', () => {
    const names = new Set(builtinModules);
    for (const { path, packages } of [...sources, ...tests]) {
      expect(
        packages.filter((name) => names.has(name)),
        path,
      ).toEqual([]);
    }
  });
});

describe('files', () => {
  test('files are all reached from an entry', () => {
    const reached = new Set<string>();
    const visit = (path: string): void => {
      if (reached.has(path)) return;
      reached.add(path);
      for (const target of byPath.get(path)?.imports ?? []) visit(target);
    };
    for (const { path } of sources) {
      const isEntry = path.startsWith('src/entry/') || path === 'src/index.ts';
      const isProgram = [MAP_PAGE_PROGRAM, LINE_THREAD_PROGRAM].includes(path);
      if (isEntry || path === 'src/cli/main.ts' || isProgram) visit(path);
    }
    expect(sources.map(({ path }) => path).filter((path) => !reached.has(path))).toEqual([]);
  });

  test(`files have at most ${MAXIMUM_LINES} lines`, () => {
    const long = sources.filter(({ text }) => text.split('\n').length > MAXIMUM_LINES);
    expect(long.map(({ path }) => path)).toEqual([]);
  });

  test('files begin by saying what they are', () => {
    const silent = sources
      .filter(({ text }) => text.split('\n').length > 12)
      .filter(({ text }) => !/^(#!.*\n)?\/\*\*/.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  test.each([
    ['a default export', /^export default\b/m],
    ['an export of everything', /^export \*/m],
    ['a catch that does nothing', /catch\s*(\([^)]*\))?\s*\{\s*\}/],
    ['a note for later', /\b(TODO|FIXME|XXX)\b/],
    ['a console', /\bconsole\./],
    ['an any', /(:|\bas|<) any\b/],
  ])('files hold no %s', (_, pattern) => {
    expect(sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path)).toEqual([]);
  });

  test('files know values of every realm: not by a class or a prototype', () => {
    // Elsewhere: a brand, a property, or node:util/types; `src/realms.ts` says why.
    const byIdentity =
      /\binstanceof\b|\bisBuffer\(|\bisPrototypeOf\(|\.constructor\s*[!=]==?|[!=]==?\s*[\w.]+\.(prototype|constructor)\b/;
    const naive = sources.filter(({ text }) => byIdentity.test(withoutComments(text)));
    // `isBytes` asks for the class of its own realm first, for speed, then for that of any.
    expect(naive.map(({ path }) => path)).toEqual(['src/check-options.ts']);
  });

  test('files have no conflict left of a merge, documents neither', () => {
    const documents = [...readdirSync(ROOT), ...readdirSync(join(ROOT, 'docs')).map(inDocs)]
      .filter((path) => path.endsWith('.md'))
      .map((path) => ({ path, text: read(path) }));
    const conflict = /^(<{7}|>{7}) /m;
    const torn = [...sources, ...tests, ...documents].filter(({ text }) => conflict.test(text));
    expect(torn.map(({ path }) => path)).toEqual([]);
  });

  test('files that a document names are there', () => {
    const documents = [
      'README.md',
      'CONTRIBUTING.md',
      ...readdirSync(join(ROOT, 'docs')).map(inDocs),
    ];
    const missing = documents
      .filter((path) => path.endsWith('.md'))
      .flatMap((path) => {
        const named = [...read(path).matchAll(/`((?:[a-z0-9-]+\/)*[a-z0-9-]+\.ts)`/g)].map(
          ([, name]) => name,
        );
        const isThere = (name = '') =>
          sources.some((source) => `/${source.path}`.endsWith(`/${name}`));
        return named.filter((name) => !isThere(name)).map((name) => `${path}: ${name}`);
      });
    expect(missing).toEqual([]);
  });

  test('files folders have no index file', () => {
    const indexes = sources.filter(({ path }) => path.endsWith('/index.ts'));
    expect(indexes.map(({ path }) => path)).toEqual(['src/index.ts']);
  });
});

/** What a name says of a call whose promise is dropped. */
const UNAWAITED = /\b(not|nobody|none)\b[^']*\bawait(s|ed)?\b|\bunawaited\b/;

describe('tests', () => {
  test('tests are never left out', () => {
    const skipping = /\b(test|it|describe)(\.\w+)*\.(skip|only|todo|fails)\b/;
    expect(tests.filter(({ text }) => skipping.test(text)).map(({ path }) => path)).toEqual([]);
  });

  test('named for a dropped promise drop one', () => {
    const lying = tests.flatMap(({ path, text }) =>
      casesNamed(UNAWAITED, withoutComments(text))
        .filter(({ body }) => !/\bvoid \w|^\s*\w+\.(append|put)\w*\(/m.test(body))
        .map(({ name }) => `${path}: ${name}`),
    );
    expect(lying).toEqual([]);
  });

  test.each(STORAGE_ERROR_CODES)('tests provoke the error %s', (code) => {
    const literal = `'${code}'`;
    const about = /^test\/(errors|house-rules)\.test\.ts$/;
    const provoking = tests.filter(({ path, text }) => !about.test(path) && text.includes(literal));
    expect(provoking.length).toBeGreaterThan(0);
    const throwing = sources.filter(
      ({ path, text }) => path !== 'src/errors.ts' && text.includes(literal),
    );
    expect(throwing.length).toBeGreaterThan(0);
  });
});

/** Titles in single quotes, each with what is between it and the bracket that ends its case. */
function casesNamed(
  pattern: RegExp,
  text: string,
): { readonly name: string; readonly body: string }[] {
  const cases = [];
  for (const { 0: title, 1: name = '', index } of text.matchAll(/[([]\s*'([^'\n]+)',\s/g)) {
    if (!pattern.test(name)) continue;
    const start = index + title.length;
    let depth = 1;
    let end = start;
    for (; depth > 0 && end < text.length; end += 1) {
      if ('([{'.includes(text.charAt(end))) depth += 1;
      else if (')]}'.includes(text.charAt(end))) depth -= 1;
    }
    cases.push({ name, body: text.slice(start, end) });
  }
  return cases;
}

function inDocs(name: string): string {
  return `docs/${name}`;
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.m?ts$/.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((path) => !/\/(node_modules|dist)\//.test(path))
    .sort();
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

function readSource(path: string): SourceFile {
  const text = read(path);
  const code = withoutComments(text);
  const imports: string[] = [];
  const packages: string[] = [];
  // `import ... from 'x'`, `export ... from 'x'`, `import 'x'`, `import('x')`.
  const importing =
    /^(?:import|export)\b[^';]*from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm;
  for (const match of code.matchAll(importing)) {
    const name = match[1] ?? match[2] ?? match[3] ?? '';
    if (name.startsWith('.')) imports.push(join(dirname(path), name).replaceAll('\\', '/'));
    else if (!name.startsWith('node:')) packages.push(packageOf(name));
  }
  return { path, text, imports, packages };
}

/** Examples in comments import, too. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

function packageOf(name: string): string {
  const parts = name.split('/');
  return parts.slice(0, name.startsWith('@') ? 2 : 1).join('/');
}

/** The part of `src` that a file belongs to. */
function partOf(path: string): string {
  const [, folder = ''] = path.split('/');
  if (LEAVES.includes(folder)) return 'leaves';
  return folder === 'index.ts' ? 'entry' : folder;
}

function mayImport(path: string, target: string): boolean {
  const from = partOf(path);
  const to = partOf(target);
  if (from === to) return true;
  if (from === 'map' && to === 'timeline')
    return PURE_TIMELINE.some((pure) => target.startsWith(pure));
  if (path.startsWith(MAP_PAGE) && to === 'virtual-file') return false;
  if (from === 'write-once' && LAYER_LEAVES.includes(target)) return true;
  return BELOW[from]?.includes(to) ?? false;
}

/** Each circle of imports, types included, as the path around it. */
function circles(): string[] {
  const found: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      found.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      return;
    }
    state.set(path, 'open');
    trail.push(path);
    for (const target of byPath.get(path)?.imports ?? []) visit(target);
    trail.pop();
    state.set(path, 'done');
  };
  for (const { path } of sources) visit(path);
  return found;
}
