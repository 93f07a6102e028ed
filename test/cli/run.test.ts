/** What every command that reads has in common: its input and its output may fail. */
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { buildSmallLayers, keyText } from './small-layers.ts';
import { parseError, runCli } from './support.ts';

let directory = '';
let delta = '';

beforeEach(async () => {
  ({ directory, delta } = await buildSmallLayers());
});

describe('a path that is not a file', () => {
  test.each(['inspect', 'dump', 'index', 'verify', 'metadata', 'get', 'export page'])(
    '%s of a path that is not a file says so with 3',
    async (command) => {
      const words = command.split(' ');
      const rest = command === 'get' || command === 'export page' ? [keyText(1)] : [];
      mkdirSync(join(directory, 'dir'));
      symlinkSync('nowhere', join(directory, 'dangling'));
      const names = command === 'verify' ? ['missing', 'dangling'] : ['missing', 'dangling', 'dir'];
      for (const name of names) {
        const path = join(directory, name);
        const result = await runCli([...words, path, ...rest, '--json']);
        expect([result.status, result.stdout.includes('found')]).toEqual([3, false]);
        expect(parseError(result)).toMatchObject({ path });
      }
      const device = await runCli([...words, '/dev/zero', ...rest, '--json']);
      expect(device.status).toBe(3);
      expect(parseError(device)).toMatchObject({ code: 'io', path: '/dev/zero' });
    },
  );
});

test('a reader that closes the pipe is success', async () => {
  const result = await runCli(['dump', delta, '--ndjson'], {
    stdoutFailure: { errno: 'EPIPE', afterBytes: 0 },
  });
  expect(result).toMatchObject({ status: 0, stderr: '' });
});

test('standard output that is full is 3', async () => {
  const result = await runCli(['dump', delta, '--ndjson'], {
    stdoutFailure: { errno: 'ENOSPC', afterBytes: 0 },
  });
  expect(result.status).toBe(3);
  expect(parseError(result)).toMatchObject({ code: 'io' });
});
