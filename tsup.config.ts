import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { defineConfig } from 'tsup';

/** What `exports` of package.json names. */
const LIBRARY = {
  index: 'src/index.ts',
  'virtual-file': 'src/entry/virtual-file.ts',
  'blob-writer': 'src/entry/blob-writer.ts',
  layers: 'src/entry/layers.ts',
  'write-once': 'src/entry/write-once.ts',
  postgres: 'src/entry/postgres.ts',
  'object-store': 'src/entry/object-store.ts',
  testing: 'src/entry/testing.ts',
  timeline: 'src/entry/timeline.ts',
  wal: 'src/entry/wal.ts',
  ingest: 'src/entry/ingest.ts',
  reshape: 'src/entry/reshape.ts',
};

/**
 * The programs of the library's threads, which are found beside its modules. The compression thread is exported as
 * well, for programs that are bundled: without the others, a caller does their work itself.
 */
const PROGRAMS = {
  'compression-thread': 'src/entry/compression-thread.ts',
  'check-thread': 'src/entry/check-thread.ts',
  'wal-count-thread': 'src/entry/wal-count-thread.ts',
  'merge-thread': 'src/entry/merge-thread.ts',
  'write-out-thread': 'src/entry/write-out-thread.ts',
};

/** What the command starts by its place beside the modules. */
const COMMAND_PROGRAMS = { 'wal-line-thread': 'src/cli/wal-line-thread.ts' };

/**
 * A class that names itself in its body is `_Name` in what esbuild makes of it, and stacks and
 * `console.log` would show that. Each is replaced by as many characters, so that the source maps
 * stay right.
 */
function withClassNames(code: string): string {
  const renamed = [...code.matchAll(/\b(\w+) = class _\1\b/g)];
  return renamed.reduce(
    (text, [, name]) => text.replaceAll(new RegExp(`\\b_${name}\\b`, 'g'), ` ${name}`),
    code,
  );
}

const ROOT = fileURLToPath(new URL('.', import.meta.url));

/**
 * Modules share a chunk only if exactly the same entries reach them, and a chunk takes as long to find, read and link
 * as 20 KB of code to compile: the layers were in 66 chunks. So the library is divided into parts, and an entry
 * imports all of each part of which it needs much. A module that is listed brings all that it imports.
 */
const LEAVES = [
  'src/check-options.ts',
  'src/on-abort.ts',
  'src/virtual-file/block.ts',
  'src/virtual-file/system-error.ts',
  'src/zstd/level.ts',
];
const FILES = [...LEAVES, 'src/virtual-file/durable-rename.ts', 'src/virtual-file/unique-file.ts'];
/** What the command needs before it knows what to do. */
const VALUES = [
  ...LEAVES,
  'src/checksum.ts',
  'src/layers/identifier.ts',
  'src/layers/layer-file/entry-cursor.ts',
  'src/layers/layer-file/large-value.ts',
  'src/layers/lsn.ts',
];
const SOURCES = [
  ...FILES,
  ...VALUES,
  'src/blob-writer/byte-source.ts',
  'src/zstd/decompression.ts',
];
const BLOBS = [...SOURCES, 'src/entry/blob-writer.ts'];
const LAYERS = [...BLOBS, 'src/entry/layers.ts'];
/** What every command begins with. */
const COMMANDS = [...LAYERS, 'src/cli/program.ts'];

const PARTS_OF_ENTRIES: readonly (readonly [entries: RegExp, parts: readonly string[]])[] = [
  [/entry\/compression-thread\.ts$/, LEAVES],
  [/entry\/(testing|virtual-file)\.ts$/, FILES],
  [/cli\/main\.ts$/, VALUES],
  [/entry\/write-once\.ts$/, [...FILES, ...VALUES]],
  [/(entry\/(object-store|wal)|(wal-count|wal-line)-thread)\.ts$/, SOURCES],
  [/entry\/(blob-writer|layers)\.ts$/, BLOBS],
  [/(src\/index|entry\/(postgres|timeline|ingest|reshape))\.ts$/, LAYERS],
  [/entry\/(check|merge|write-out)-thread\.ts$/, LAYERS],
];

/** Each dynamic import is an entry as well: it imports all of the layers. */
const fewChunks: Plugin = {
  name: 'few-chunks',
  setup(bundle) {
    bundle.onResolve({ filter: /^\./ }, async ({ kind, path, importer, resolveDir }) => {
      if (kind !== 'dynamic-import') return undefined;
      const loader = importer.includes('/src/cli/') ? 'command' : 'library';
      const resolved = await bundle.resolve(path, {
        kind: 'import-statement',
        importer,
        resolveDir,
      });
      // Relative: it is named in what is built.
      return { path: relative(ROOT, resolved.path), namespace: loader, errors: resolved.errors };
    });
    for (const [namespace, imports] of [
      ['library', LAYERS],
      ['command', COMMANDS],
    ] as const) {
      bundle.onLoad({ filter: /./, namespace }, ({ path }) => ({
        contents: withImports(`export * from ${JSON.stringify(join(ROOT, path))};`, imports),
        resolveDir: ROOT,
      }));
    }
    for (const [filter, parts] of PARTS_OF_ENTRIES) {
      bundle.onLoad({ filter }, ({ path }) => ({
        contents: withImports(readFileSync(path, 'utf8'), parts),
        loader: 'ts',
      }));
    }
    // Nothing is used by these imports, so that they are left out in the end; chunks are made before.
    bundle.initialOptions.logOverride = { 'ignored-bare-import': 'silent' };
  },
};

function withImports(code: string, paths: readonly string[]): string {
  return [code, ...paths.map((path) => `import ${JSON.stringify(join(ROOT, path))};`)].join('\n');
}

/** The program and the style sheet that `map` writes into its pages, beside the modules. */
async function buildMapPage(): Promise<void> {
  await build({
    entryPoints: { 'map-page': 'src/map/page/main.ts' },
    outdir: 'dist',
    bundle: true,
    minify: true,
    format: 'iife',
    platform: 'browser',
    target: ['chrome109', 'firefox115', 'safari16.4'],
    charset: 'ascii',
    legalComments: 'none',
  });
  await build({
    entryPoints: { 'map-page': 'src/map/page/page.css' },
    outdir: 'dist',
    minify: true,
  });
}

export default defineConfig({
  entry: { ...LIBRARY, ...PROGRAMS, ...COMMAND_PROGRAMS, cli: 'src/cli/main.ts' },
  // `@internal` is for the library itself: it leaves the published types.
  dts: { entry: { ...LIBRARY, ...PROGRAMS }, compilerOptions: { stripInternal: true } },
  // The package of CRC-32C is a development dependency, and so part of the build: imported as CommonJS, it takes 6 ms.
  // An optional dependency with native code is resolved where the package is installed.
  external: ['@toondepauw/node-zstd'],
  format: 'esm',
  target: 'node20',
  platform: 'node',
  // Without its prefix, a bundler may take a module of Node for a package of that name.
  removeNodeProtocol: false,
  splitting: true,
  sourcemap: true,
  esbuildPlugins: [fewChunks],
  plugins: [{ name: 'class-names', renderChunk: (code) => ({ code: withClassNames(code) }) }],
  clean: true,
  onSuccess: buildMapPage,
});
