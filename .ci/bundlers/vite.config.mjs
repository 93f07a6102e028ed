// A build in library mode: vite looks for threads and assets in it, as it does not for a server.
export default {
  build: {
    outDir: 'out/vite-esm',
    lib: {
      entry: { use: 'use.mjs', 'compression-thread': 'node_modules/layerfile/dist/compression-thread.js' },
      formats: ['es'],
      fileName: (_, name) => `${name}.mjs`,
    },
    target: 'node20',
    rollupOptions: { external: /^node:/ },
  },
};
