/** The command where WebAssembly cannot be used, by a policy or for want of addresses. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as zlib from 'node:zlib';
import { expect, test } from 'vitest';
import { startNode } from '../support/programs.ts';

const COMMAND = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const LAYER = sampleLayer();

/** Makes the native package fail to load its binary. */
const WITHOUT_NATIVE = { ...process.env, NAPI_RS_NATIVE_LIBRARY_PATH: '/nowhere/zstd.node' };

const HAS_ZLIB = 'zstdDecompressSync' in zlib;

const WAYS = {
  'it is switched off': {
    flags: ['--import', 'data:text/javascript,delete globalThis.WebAssembly'],
  },
  'there are no addresses for its memory': { flags: [], wrapper: ['prlimit', '--as=4000000000'] },
};

test.each(Object.entries(WAYS))(
  'where %s, another decoder verifies a layer; without one, an error says what is missing',
  async (_, { flags, ...options }) => {
    for (const environment of [process.env, WITHOUT_NATIVE]) {
      const words = [...flags, COMMAND, 'verify', LAYER];
      const { lines, ended } = startNode(words, { ...options, environment });
      const told: string[] = [];
      for await (const line of lines) told.push(line);
      const { status, stderr } = await ended;
      if (HAS_ZLIB || environment === process.env) {
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
        expect(told.join('\n')).toMatch(/^ok /);
      } else {
        expect(status).toBe(3);
        expect(stderr).toMatch(
          /^error\[io\]: [^\n]*: cannot compress or decompress zstd in this process: expected WebAssembly, found [^\n]*\n$/,
        );
      }
    }
  },
);

function sampleLayer(): string {
  const folder = fileURLToPath(new URL('../golden/layers/12-image-zstd1', import.meta.url));
  const name = readdirSync(folder).find((file) => file !== 'manifest.json');
  return join(folder, name ?? '');
}
