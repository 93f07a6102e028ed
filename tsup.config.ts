import { defineConfig } from 'tsup';

/** What `exports` of package.json names. */
const LIBRARY = {
  index: 'src/index.ts',
  'virtual-file': 'src/entry/virtual-file.ts',
  'blob-writer': 'src/entry/blob-writer.ts',
  layers: 'src/entry/layers.ts',
  'write-once': 'src/entry/write-once.ts',
  postgres: 'src/entry/postgres.ts',
};

/** What the library starts, by its place beside the modules. */
const PROGRAMS = { 'compression-thread': 'src/entry/compression-thread.ts' };

export default defineConfig({
  entry: { ...LIBRARY, ...PROGRAMS, cli: 'src/cli/main.ts' },
  dts: { entry: LIBRARY },
  // An optional dependency with native code: resolved where the package is installed.
  external: ['@toondepauw/node-zstd'],
  format: 'esm',
  target: 'node20',
  platform: 'node',
  splitting: true,
  sourcemap: true,
  clean: true,
});
