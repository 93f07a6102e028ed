/**
 * The command line on layers of blobs of 250 MiB, plain and compressed: none is held whole.
 *
 * LAYERFILE_LARGE_BLOBS says how many there are in each layer; 41 make 10 GiB.
 */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { bundledProgram, resultOf, startNode, startProgram } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const COUNT = Number(process.env['LAYERFILE_LARGE_BLOBS'] ?? 2);
const LIMIT_MIB = 128;

/** `npm test` builds it first. */
const COMMAND = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

const COMMANDS = [['verify'], ['dump'], ['dump', '--ndjson', '--values', 'sha256']] as const;

test.runIf(process.platform === 'linux')(
  `verify and dump take at most ${LIMIT_MIB} MiB for ${COUNT} blobs of 250 MiB`,
  { timeout: 120_000 + COUNT * 60_000 },
  async () => {
    const writing = await bundledProgram(new URL('programs/large-blobs.ts', import.meta.url));
    const reportPeak = await bundledProgram(
      new URL('../load/programs/report-peak.ts', import.meta.url),
    );
    const input = { directory: temporaryDirectory(), count: COUNT };
    for (const path of await resultOf<string[]>(startProgram(writing, input))) {
      for (const words of COMMANDS) {
        const running = startNode(['--import', reportPeak, COMMAND, ...words, path]);
        let lineCount = 0;
        for await (const _ of running.lines) lineCount += 1;
        const { status, stderr } = await running.ended;
        const peakMib = Number(/^peak (\d+) KiB$/m.exec(stderr)?.[1]) / 1024;
        if (COUNT > 10) console.info(`${words.join(' ')} ${path}: peak ${peakMib.toFixed(0)} MiB`);
        expect([path, status]).toEqual([path, 0]);
        expect(lineCount).toBeGreaterThanOrEqual(words[0] === 'dump' ? COUNT : 1);
        expect(peakMib).toBeGreaterThan(0);
        expect(peakMib).toBeLessThanOrEqual(LIMIT_MIB);
      }
    }
  },
);
