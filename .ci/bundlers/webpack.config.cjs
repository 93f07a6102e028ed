// Production builds of `use` and of the program of its threads, as ECMAScript modules and CommonJS.
const { resolve } = require('node:path');

const shared = {
  mode: 'production',
  target: 'node20',
  entry: { use: './use.mjs', 'compression-thread': 'layerfile/compression-thread' },
  performance: { hints: false },
};

module.exports = [
  {
    ...shared,
    name: 'esm',
    experiments: { outputModule: true },
    output: {
      path: resolve('out/webpack-esm'),
      filename: '[name].mjs',
      chunkFilename: '[name].mjs',
      module: true,
      chunkFormat: 'module',
      library: { type: 'module' },
    },
  },
  {
    ...shared,
    name: 'cjs',
    output: {
      path: resolve('out/webpack-cjs'),
      filename: '[name].cjs',
      chunkFilename: '[name].cjs',
      library: { type: 'commonjs2' },
    },
  },
];
