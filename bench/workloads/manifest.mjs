/** Checksums of all blocks of a layer, from the page cache, beside other ways to read every byte of it. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { checkManifest, makeManifest, verifyLayer } from '../../dist/layers.js';
import { readRaw } from '../floors/raw-read.mjs';
import { check } from '../harness/row-context.mjs';
import { IMAGE_COUNT } from '../inputs/shapes.mjs';

export function groupsOf({ scaled }) {
  const images = scaled(IMAGE_COUNT);
  return ['none', 'zstd'].map((compression) => {
    const fixture = `image-postgres-${compression}`;
    const pages = `${images.toLocaleString('en-US')} Postgres-like pages`;
    return {
      title: `manifest: a layer of ${pages}, ${compression === 'none' ? 'uncompressed' : 'zstd 1'}`,
      fixtures: [fixture],
      rows: [
        row('floor', 'floor: preads of 1 MiB', readAll),
        row('floor', 'floor: preads of 1 MiB, and SHA-256', digestAll),
        row('layerfile', 'layerfile makeManifest', make),
        row('layerfile', 'layerfile checkManifest', compare),
        row('layerfile', 'layerfile verifyLayer', verify),
      ].map(({ measure, ...each }) => ({
        ...each,
        measure: async (context) => {
          const path = context.fixture(fixture);
          const { size } = statSync(path);
          await measure({ path, size }, (action) => context.time(action));
          return { operations: size / 8192, bytes: size };
        },
      })),
    };
  });
}

function row(role, name, measure) {
  return { role, name, shortName: 'floor', measure };
}

async function readAll({ path, size }, time) {
  check(await time(() => readRaw(path, 0, size)), size, 'bytes');
}

async function digestAll({ path, size }, time) {
  const hash = createHash('sha256');
  const add = (piece, length) => hash.update(piece.subarray(0, length));
  check(await time(() => readRaw(path, 0, size, add)), size, 'bytes');
}

async function make({ path, size }, time) {
  const { checksums } = await time(() => makeManifest(path));
  check(checksums.length, size / 8192, 'blocks');
}

async function compare({ path }, time) {
  const manifest = await makeManifest(path);
  check((await time(() => checkManifest(path, manifest))).ok, true, 'ok');
}

async function verify({ path }, time) {
  check((await time(() => verifyLayer(path))).ok, true, 'ok');
}
