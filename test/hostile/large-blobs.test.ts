/**
 * The command line on layers of blobs that are larger than the memory it may take, plain and compressed: none is
 * held whole.
 *
 * LAYERFILE_LARGE_BLOBS says how many of 250 MiB there are in each layer; 41 make 10 GiB. By default there is one of
 * 96 MiB, and two with LAYERFILE_ROUNDS=all.
 */
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { formatKey } from '../../src/layers/key.ts';
import { blockKey } from '../support/layers.ts';
import { bundledProgram, resultOf, startNode, startProgram } from '../support/programs.ts';
import { HAS_ALL_ROUNDS } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const { LAYERFILE_LARGE_BLOBS: WANTED } = process.env;
const COUNT = Number(WANTED ?? (HAS_ALL_ROUNDS ? 2 : 1));
const BLOB_MIB = WANTED === undefined ? 96 : 250;
const LIMIT_MIB = 128;
/** One value, twice while it is decompressed, and the rest of the process. */
const LIMIT_OF_CONTENTS_MIB = 2 * BLOB_MIB + 140;

/** `npm test` builds it first. */
const COMMAND = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

const COMMANDS = [['verify'], ['dump'], ['dump', '--ndjson', '--values', 'sha256']] as const;
const SAMPLE = [COMMANDS[0], COMMANDS[2]];

test.runIf(process.platform === 'linux')(
  `verify and dump take at most ${LIMIT_MIB} MiB for ${COUNT} blob${COUNT === 1 ? '' : 's'} of ${BLOB_MIB} MiB`,
  { timeout: 120_000 + COUNT * 60_000 },
  async () => {
    const writing = await bundledProgram(new URL('programs/large-blobs.ts', import.meta.url));
    const reportPeak = await bundledProgram(
      new URL('../load/programs/report-peak.ts', import.meta.url),
    );
    const input = { directory: temporaryDirectory(), count: COUNT, mebibytes: BLOB_MIB };
    for (const path of await resultOf<string[]>(startProgram(writing, input))) {
      for (const words of HAS_ALL_ROUNDS ? COMMANDS : SAMPLE) {
        const running = startNode(['--import', reportPeak, COMMAND, ...words, path]);
        let lineCount = 0;
        for await (const _ of running.lines) lineCount += 1;
        const { status, stderr } = await running.ended;
        const peakMib = peakIn(stderr);
        if (COUNT > 10) console.info(`${words.join(' ')} ${path}: peak ${peakMib.toFixed(0)} MiB`);
        expect([path, status]).toEqual([path, 0]);
        expect(lineCount).toBeGreaterThanOrEqual(words[0] === 'dump' ? COUNT : 1);
        expect(peakMib).toBeGreaterThan(0);
        expect(peakMib).toBeLessThanOrEqual(LIMIT_MIB);
      }
    }
  },
);

test.runIf(process.platform === 'linux')(
  `a bomb of ${BLOB_MIB} MiB in a file of at most 64 KiB costs get at most ${LIMIT_OF_CONTENTS_MIB} MiB, and nothing with a limit`,
  { timeout: 120_000 },
  async () => {
    const writing = await bundledProgram(new URL('programs/large-blobs.ts', import.meta.url));
    const reportPeak = await bundledProgram(
      new URL('../load/programs/report-peak.ts', import.meta.url),
    );
    const input = { directory: temporaryDirectory(), count: 1, mebibytes: BLOB_MIB };
    const paths = await resultOf<string[]>(startProgram(writing, input));
    const path = paths.find((each) => each.endsWith('repeated-image')) ?? '';
    expect(statSync(path).size).toBeLessThanOrEqual(64 * 1024);
    const get = async (...flags: string[]) => {
      const words = [COMMAND, 'get', '--raw', ...flags, path, formatKey(blockKey(0))];
      const running = startNode(['--import', reportPeak, ...words]);
      running.child.stdout?.resume();
      const { status, stderr } = await running.ended;
      return { status, peakMib: peakIn(stderr) };
    };
    const [whole, limited] = [await get(), await get('--max-blob', '8192')];
    expect(whole.status).toBe(0);
    expect(whole.peakMib).toBeGreaterThan(BLOB_MIB);
    expect(whole.peakMib).toBeLessThanOrEqual(LIMIT_OF_CONTENTS_MIB);
    expect(limited.status).not.toBe(0);
    expect(limited.peakMib).toBeLessThanOrEqual(LIMIT_MIB);
  },
);

function peakIn(stderr: string): number {
  return Number(/^peak (\d+) KiB$/m.exec(stderr)?.[1]) / 1024;
}
