/** Random damage: whatever the bytes, a command ends with a status that it has and says why. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { goldenLayers } from '../support/golden.ts';
import { rounds } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseLines, runCli } from './support.ts';

const CASES = ['04-delta-wal-records', '08-delta-no-prefix', '12-image-zstd1', '14-image-2-level'];
const LAYERS = goldenLayers()
  .filter(({ manifest }) => CASES.includes(manifest.case))
  .map(({ path, manifest }) => ({
    bytes: readFileSync(path),
    name: manifest.file,
    key: manifest.dump.at(-1)?.key ?? '',
    indexOffset: manifest.summary.index_start_blk * 8192,
  }));

test('random damage never surprises a command', async () => {
  const directory = temporaryDirectory();
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: LAYERS.length - 1 }),
      fc.array(
        fc.tuple(
          fc.nat(),
          fc.integer({ min: 0, max: 255 }),
          fc.constantFrom('summary', 'index', 'any'),
        ),
        {
          minLength: 1,
          maxLength: 6,
        },
      ),
      fc.option(fc.nat()),
      async (which, changes, cut) => {
        const layer = LAYERS[which];
        if (layer === undefined) throw new Error('a layer for each number');
        const bytes = Buffer.from(layer.bytes);
        for (const [place, value, where] of changes) {
          const start = where === 'index' ? layer.indexOffset : 0;
          const length = where === 'summary' ? 100 : bytes.length - start;
          bytes[start + (place % length)] = value;
        }
        const path = join(directory, layer.name);
        writeFileSync(path, cut === null ? bytes : bytes.subarray(0, cut % bytes.length));

        const commands = [
          ['inspect', path],
          ['dump', path, '--values', 'json'],
          ['index', path],
          ['verify', path],
          ['get', path, layer.key],
        ];
        const failed: string[] = [];
        for (const words of commands) {
          const { status, stdout, stderr } = await runCli([...words, '--ndjson']);
          expect([0, 1, 4]).toContain(status);
          expect(stderr).not.toContain('internal');
          const said = [...parseLines(stdout), ...parseLines(stderr)];
          expect(said.length).toBeGreaterThan(0);
          // A key that is absent is no damage: the damage may have made another key of it.
          if (status !== 0 && !stdout.includes('"found":false')) failed.push(words[0] ?? '');
        }
        // Verify looks at everything, so that it never passes what another command stumbles over.
        if (failed.length > 0) expect(failed).toContain('verify');
      },
    ),
    { numRuns: rounds(80) },
  );
});
