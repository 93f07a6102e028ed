import { defineConfig } from 'tsup';

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'virtual-file': 'src/entry/virtual-file.ts',
    'blob-writer': 'src/entry/blob-writer.ts',
    layers: 'src/entry/layers.ts',
    'write-once': 'src/entry/write-once.ts',
    postgres: 'src/entry/postgres.ts',
    cli: 'src/cli/main.ts',
  },
  // An optional dependency with native code: resolved where the package is installed.
  external: ['@toondepauw/node-zstd'],
  format: 'esm',
  target: 'node20',
  platform: 'node',
  splitting: true,
  dts: {
    entry: ['index', 'virtual-file', 'blob-writer', 'layers', 'write-once', 'postgres'].reduce(
      (entries, name) => ({
        ...entries,
        [name]: name === 'index' ? 'src/index.ts' : `src/entry/${name}.ts`,
      }),
      {},
    ),
  },
  sourcemap: true,
  clean: true,
});
