// The same as webpack's configuration, for rollup.
import commonjs from '@rollup/plugin-commonjs';
import nodeResolve from '@rollup/plugin-node-resolve';

const output = (format, extension) => ({
  dir: `out/rollup-${format}`,
  format,
  entryFileNames: `[name].${extension}`,
  chunkFileNames: `[name]-[hash].${extension}`,
});

export default {
  input: { use: 'use.mjs', 'compression-thread': 'layerfile/compression-thread' },
  external: /^node:/,
  plugins: [nodeResolve({ preferBuiltins: true }), commonjs()],
  output: [output('esm', 'mjs'), output('cjs', 'cjs')],
};
