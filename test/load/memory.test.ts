/**
 * The command line on a layer that is much larger than the memory it may take.
 *
 * LAYERFILE_BIG_LAYER_MIB sets the size.
 */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { bundledProgram, resultOf, startNode, startProgram } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import type { BigLayerInput, BigLayerResult } from './programs/big-layer.ts';

const SIZE_MIB = Number(process.env['LAYERFILE_BIG_LAYER_MIB'] ?? 256);
const LIMIT_MIB = 128;
const SLOWEST_MS_PER_MIB = 400;

/** `npm test` builds it first. */
const COMMAND = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

const COMMANDS = [['verify'], ['dump'], ['dump', '--ndjson', '--values', 'sha256']] as const;

test.runIf(process.platform === 'linux')(
  `verify and dump take at most ${LIMIT_MIB} MiB for a layer of ${SIZE_MIB} MiB`,
  { timeout: 60_000 + SIZE_MIB * SLOWEST_MS_PER_MIB },
  async () => {
    const writing = await bundledProgram(new URL('programs/big-layer.ts', import.meta.url));
    const reportPeak = await bundledProgram(new URL('programs/report-peak.ts', import.meta.url));
    const input: BigLayerInput = { directory: temporaryDirectory(), mebibytes: SIZE_MIB };
    const layer = await resultOf<BigLayerResult>(startProgram(writing, input));
    for (const words of COMMANDS) {
      const { lineCount, peakMiB, seconds } = await measure(reportPeak, [...words, layer.path]);
      console.info(
        `${words.join(' ')} of ${(layer.size / 2 ** 20).toFixed(0)} MiB, ${layer.entryCount} ` +
          `entries: peak ${peakMiB.toFixed(0)} MiB, ${seconds.toFixed(0)} s, ${lineCount} lines`,
      );
      expect(lineCount).toBeGreaterThanOrEqual(words[0] === 'dump' ? layer.entryCount : 1);
      expect(peakMiB).toBeGreaterThan(0);
      expect(peakMiB).toBeLessThanOrEqual(LIMIT_MIB);
    }
  },
);

/** Runs it into a pipe that is read to its end, as `| less` or `| jq` would. */
async function measure(reportPeak: string, words: readonly string[]) {
  const wrapper = ['bash', '-c', 'set -o pipefail; "$@" | wc -l', 'bash'];
  const start = performance.now();
  const running = startNode(['--import', reportPeak, COMMAND, ...words], { wrapper });
  const lineCount = await resultOf<number>(running);
  const { stderr } = await running.ended;
  const peakMiB = Number(/^peak (\d+) KiB$/m.exec(stderr)?.[1]) / 1024;
  return { lineCount, peakMiB, seconds: (performance.now() - start) / 1000 };
}
