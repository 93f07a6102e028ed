import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { buildSmallLayers, keyText, lsnText } from '../small-layers.ts';
import { parseLines, type RunResult, runCli } from '../support.ts';

let directory = '';
let delta = '';
let image = '';

beforeEach(async () => {
  ({ directory, delta, image } = await buildSmallLayers());
});

test('inspect for people', async () => {
  const result = await runCli(['inspect', delta]);
  expect(result).toMatchObject({ status: 0, stderr: '' });
  expect(result.stdout).toContain('delta layer, format version 3');
  expect(result.stdout).toContain('0/100 up to 0/900 (not included)');
  expect(result.stdout).toContain('agrees with the summary');
});

describe('a name that contradicts the summary', () => {
  const wrongName = `${keyText(0)}-${keyText(9)}__0000000000000600`;

  test('inspect prints and exits 1, verify reports, dump, get and index continue', async () => {
    const path = join(directory, wrongName);
    renameSync(image, path);
    const inspected = await runCli(['inspect', path, '--json']);
    expect(inspected).toMatchObject({ status: 1, stderr: '' });
    expect(parseLines(inspected.stdout)[0]).toMatchObject({
      name_matches: false,
      lsn: lsnText('500'),
    });

    const verified = await runCli(['verify', path, '--json']);
    expect(verified.status).toBe(1);
    expect(JSON.parse(verified.stdout)).toMatchObject({
      ok: false,
      files: [{ errors: 1, entries: 3 }],
    });

    const expectWarning = ({ status, stderr }: RunResult) => {
      expect(status).toBe(0);
      expect(parseLines(stderr)).toEqual([{ warning: { message: expect.any(String), path } }]);
    };
    const dumped = await runCli(['dump', path, '--ndjson']);
    expectWarning(dumped);
    expect(parseLines(dumped.stdout)).toHaveLength(3);
    const nothing = [
      ['--limit', '0'],
      ['--key-start', keyText(8), '--key-end', keyText(7)],
      ['--lsn-end', '0/1'],
    ];
    for (const words of [...nothing, ['--key-start', keyText(9)]]) {
      expectWarning(await runCli(['dump', path, '--ndjson', ...words]));
    }
    expectWarning(await runCli(['get', path, keyText(1), '--json']));
    expectWarning(await runCli(['index', path, '--json']));
  });

  test.each([
    ['layer.bin', null, 0],
    [`${keyText(0)}-${keyText(9)}__500`, true, 0],
    [`${keyText(0)}-${keyText(9)}__0000000000000500-v1-0000002a`, true, 0],
    [`${keyText(0)}-${keyText(9)}__0000000000000500-00000001`, true, 0],
    [`${keyText(0).toLowerCase()}-${keyText(9).toLowerCase()}__0000000000000500`, true, 0],
    [`${keyText(1)}-${keyText(9)}__0000000000000500`, false, 1],
    [`${keyText(0)}-${keyText(8)}__0000000000000500`, false, 1],
    [`${keyText(0)}-${keyText(9)}__0000000000000500-0000000000000501`, false, 1],
  ])(
    'inspect of a layer named %s says whether the name matches: %s',
    async (name, matches, status) => {
      const path = join(temporaryDirectory(), name);
      writeFileSync(path, readFileSync(image));
      const result = await runCli(['inspect', path, '--json']);
      expect(result.status).toBe(status);
      expect(parseLines(result.stdout)).toMatchObject([{ path, name_matches: matches }]);
    },
  );
});
