/**
 * Every record of the golden WAL, as the command prints it, against the lines of the truth: byte for byte, with the
 * digests of all page images.
 *
 *   LAYERFILE_GOLDEN=<the complete golden folder>   needs xz
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { runCli } from '../support.ts';

const GOLDEN = process.env['LAYERFILE_GOLDEN'];
const TIME_LIMIT_MS = 300_000;

const name = GOLDEN === undefined ? 'golden WAL (left out: no LAYERFILE_GOLDEN)' : 'golden WAL';

describe.skipIf(GOLDEN === undefined)(name, () => {
  test.each(['pg14', 'pg15', 'pg16', 'pg17'])(
    'WAL of %s is printed as its truth is written, on both timelines',
    async (version) => {
      const folder = join(GOLDEN ?? '', 'wal', version);
      const directory = unpacked(folder);
      for (const [truth, timeline] of [
        ['records.ndjson.xz', '1'],
        ['records-tli2.ndjson.xz', '2'],
      ] as const) {
        const expected = xzText(join(folder, truth)).trimEnd();
        const { start_lsn: start } = JSON.parse(expected.slice(0, expected.indexOf('\n')));
        const { end_lsn: end } = JSON.parse(expected.slice(expected.lastIndexOf('\n') + 1));
        const range = ['--timeline', timeline, '--start', start, '--end', end];
        const { status, stdout } = await runCli([
          'wal',
          directory,
          ...range,
          '--ndjson',
          '--sha256',
        ]);
        expect(stdout.trimEnd() === expected).toBe(true);
        expect(status).toBe(0);
      }
    },
    TIME_LIMIT_MS,
  );
});

function unpacked(folder: string): string {
  const directory = join(temporaryDirectory(), 'wal');
  mkdirSync(directory);
  for (const file of readdirSync(folder)) {
    if (file.endsWith('.history')) copyFileSync(join(folder, file), join(directory, file));
    const [, segment] = /^([0-9A-F]{24})\.xz$/.exec(file) ?? [];
    if (segment !== undefined) writeFileSync(join(directory, segment), xzBytes(join(folder, file)));
  }
  return directory;
}

function xzBytes(path: string): Buffer {
  return execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 30 });
}

function xzText(path: string): string {
  return xzBytes(path).toString();
}
