/**
 * Random damages of layers with one to three index levels: every entry whose leaf and blob are intact is in
 * the new layer, and nothing is there that was not in the damaged file.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import { salvageLayer } from '../../../src/reshape/salvage/salvage-layer.ts';
import {
  type Damage,
  damaged,
  damages,
  intactEntries,
  lineOf,
  linesInFile,
  type SampleLayer,
  sampleLayer,
} from '../../support/damaged-layers.ts';
import { DIRECTORY, IMAGE_LSN, memoryDisk, namesOn } from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';

const RUNS = Number(process.env['LAYERFILE_SALVAGE_DAMAGES'] ?? rounds(60));

/** A damage takes about 30 ms, on a busy machine ten times as long. */
const TIMEOUT_MS = 60_000 + 300 * RUNS;

const KINDS = ['delta', 'image'] as const;
const LAYERS = await Promise.all(
  [1, 2, 3].flatMap((levels) => KINDS.map((kind) => sampleLayer(kind, levels))),
);

/** The lines of the new layer, which is complete and valid; none if there is no layer. */
async function salvaged(bytes: Buffer, path: string, ids = {}) {
  const disk = memoryDisk();
  const { openFiles } = disk;
  const made = await salvageLayer(bytesSource(bytes, path), {
    ...{ directory: DIRECTORY, openFiles, ...ids },
  });
  const lines: string[] = [];
  if (made.layer !== undefined) {
    const { path: written } = made.layer;
    const report = await verifyLayer(written, { openFiles });
    expect(report.findings).toEqual([]);
    await using reader = await openLayer(written, { openFiles });
    for await (const { key, lsn, bytes: content } of reader.entries()) {
      lines.push(lineOf(key, lsn, content));
    }
  }
  expect(namesOn(disk)).toHaveLength(made.layer === undefined ? 0 : 1);
  expect(made.recovered).toBe(lines.length);
  return { made, lines };
}

async function expectAllThatIsIntact(
  layer: SampleLayer,
  bytes: Buffer,
  name: string,
): Promise<void> {
  const { made, lines } = await salvaged(bytes, `/in/${name}`);
  const found = new Set(lines);
  const missing = intactEntries(layer, bytes).filter(({ line }) => !found.has(line));
  expect(missing.map(({ line }) => line.slice(0, 60))).toEqual([]);
  const inFile = await linesInFile(layer.kind, bytes, IMAGE_LSN);
  const invented = lines.filter((line) => !inFile.has(line));
  expect(invented).toEqual([]);
  if (lines.length < layer.entries.length) expect(made.lostCount).toBeGreaterThan(0);
}

describe('a salvage', () => {
  test(
    `a salvage after ${RUNS} random damages keeps what is intact, and invents nothing`,
    async () => {
      const layer = fc.nat(LAYERS.length - 1);
      await fc.assert(
        fc.asyncProperty(layer, damages(), fc.boolean(), async (at, list, isNamed) => {
          const sample = LAYERS[at] as SampleLayer;
          // Of an image layer, only its name tells that the LSN of the summary is wrong.
          const name = isNamed || sample.kind === 'image' ? sample.name : 'renamed';
          await expectAllThatIsIntact(sample, damaged(sample, list), name);
        }),
        { numRuns: RUNS },
      );
    },
    TIMEOUT_MS,
  );

  test('a salvage keeps a leaf whose values lie before those of the last entry of the leaf before it', async () => {
    const [, , , sample] = LAYERS as [SampleLayer, SampleLayer, SampleLayer, SampleLayer];
    // The last pointer of a leaf is changed into a higher one, that of another blob.
    const list: Damage[] = [
      { kind: 'flip', part: 'index', at: 30_700, bits: 16 },
      { kind: 'flip', part: 'summary', at: 0, bits: 1 },
    ];
    await expectAllThatIsIntact(sample, damaged(sample, list), sample.name);
  });

  // Each was found by chance, among some ten thousand.
  test.each<[situation: string, levels: number, Damage[], kind?: 'image']>([
    [
      'the summary has a wrong start of the index, which seems to end where the file was cut',
      2,
      [
        { kind: 'flip', part: 'summary', at: 56_662, bits: 6 },
        { kind: 'cut', at: 40_961 },
      ],
      'image',
    ],
    [
      'its keys contradict those of a damaged leaf that its parent does not confirm',
      2,
      [{ kind: 'zeros', at: 37_455, length: 4 }],
    ],
    [
      'the first leaf was moved to where an inner node was, and the block before that is lost',
      3,
      [
        { kind: 'swap', one: 38_230, other: 30_038 },
        { kind: 'swap', one: 35_499, other: 0 },
        { kind: 'zeroed-block', at: 0 },
      ],
    ],
    [
      'its keys contradict those of a leaf with damaged values, and the root is lost',
      2,
      [
        { kind: 'flip', part: 'index', at: 21_650, bits: 1 },
        { kind: 'swap', one: 0, other: 56_174 },
      ],
    ],
    [
      'the first leaf was moved to where the root was, and the block before that is lost',
      2,
      [
        { kind: 'swap', one: 56_174, other: 28_087 },
        { kind: 'swap', one: 46_812, other: 0 },
        { kind: 'flip', part: 'summary', at: 0, bits: 1 },
      ],
    ],
  ])('a salvage keeps an intact leaf if %s', async (_, levels, list, kind) => {
    const sample = LAYERS[2 * (levels - 1) + (kind === 'image' ? 1 : 0)] as SampleLayer;
    const name = kind === 'image' ? sample.name : 'renamed';
    await expectAllThatIsIntact(sample, damaged(sample, list), name);
  });

  test('a salvage leaves out an image whose header zeros have cut to length 0', async () => {
    const [, , , sample] = LAYERS as [SampleLayer, SampleLayer, SampleLayer, SampleLayer];
    const bytes = damaged(sample, [{ kind: 'zeros', at: 27_961, length: 3 }]);
    const { made, lines } = await salvaged(bytes, `/in/${sample.name}`);
    expect(lines).toEqual(intactEntries(sample, bytes).map(({ line }) => line));
    expect(made.lost).toMatchObject([{ offset: 27_960, error: { code: 'corrupt' } }]);
  });

  test.each(LAYERS.map((layer) => [layer.kind, layer.entries.length, layer] as const))(
    'a salvage of an undamaged %s layer of %i entries is the same file',
    async (_, count, layer) => {
      const { made, lines } = await salvaged(layer.bytes, `/in/${layer.name}`);
      expect(lines).toEqual(layer.entries.map(({ line }) => line));
      expect(made).toMatchObject({ lost: [], repaired: [], unkeyed: 0, idSource: 'known' });
      expect(made.layer).toMatchObject({ name: layer.name, entryCount: count });
    },
  );
});
