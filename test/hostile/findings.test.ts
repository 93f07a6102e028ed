/** What the fuzzer and reviews found, as small as it can be; the fuzzer's by the seed. */
import { describe, expect, it } from 'vitest';
import { StorageError } from '../../src/errors.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { BLOCK_SIZE } from '../../src/virtual-file/block.ts';
import { parseTenantConfig } from '../../src/write-once/tenant-config.ts';
import { loadCompressor } from '../../src/zstd/compression.ts';
import { DEFAULT_DECOMPRESSION_LIMITS, Decompressor } from '../../src/zstd/decompression.ts';
import { parseError, runCli } from '../cli/support.ts';
import { layerBytes, nodeBlock, offsetsOf, shortBlob } from '../support/hand-made.ts';
import { blockKey } from '../support/layers.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { encodeFrame } from '../support/zstd-frames.ts';
import { execute, fuzzInput } from './fuzzing.ts';
import { checkLayer } from './oracle.ts';

it('a content that is longer than its header says is refused, not written beyond its room', async () => {
  const decompressor = await Decompressor.load();
  const compressor = await loadCompressor(1, 'wasm');
  const content = Buffer.alloc(131_072, 'a text that repeats itself ');
  // Behind the header of 6 bytes is one block with its header, then an empty last one.
  const frame = await compressor.compress(content);
  const block = frame.subarray(9, frame.length - 3);
  const blocks = Array.from({ length: 4 }, () => ({ kind: 'compressed', bytes: block }) as const);
  for (const value of [300_000n, 524_287n, 524_288n]) {
    const claiming = encodeFrame({ blocks, contentSize: { size: 4, value }, window: 13 << 3 });
    const decompress = () => decompressor.decompress(claiming, DEFAULT_DECOMPRESSION_LIMITS);
    if (value === 524_288n) expect(decompress().length).toBe(524_288);
    else expect(storageErrorThrownBy(decompress).code).toBe('corrupt');
  }
});

describe('a compressed block of no bytes', () => {
  it('a compressed block of no bytes is refused in one piece and in several, where the decoders disagree', async () => {
    const frame = encodeFrame({
      blocks: [
        { kind: 'compressed', bytes: new Uint8Array(0) },
        { kind: 'repeated', byte: 7, length: 131_072 },
        { kind: 'repeated', byte: 8, length: 200 },
      ],
    });
    const decompressor = await Decompressor.load();
    const limits = DEFAULT_DECOMPRESSION_LIMITS;
    for (const decompress of [
      () => decompressor.decompress(frame, limits),
      () => decompressor.decompressPieces(frame, limits, () => {}),
    ]) {
      expect(storageErrorThrownBy(decompress)).toMatchObject({ code: 'corrupt', offset: 6 });
    }
  });

  it('a compressed block of no bytes is the same to a scan and to a stream: seed 11747', async () => {
    // A node lies after its root, so it does not open; without that node it does.
    expect(await execute(11_747)).toBe('layer refused');
    const bytes = fuzzInput(11_747);
    const opening = bytes.subarray(0, bytes.length - BLOCK_SIZE);
    expect(await checkLayer(opening, 'full')).toMatchObject({ verdict: 'damaged' });
  });
});

describe('a message is short, however long what it quotes is', () => {
  const long = 'a'.repeat(1_000_000);
  it.each([
    ['a value of TOML', `[tenant_config]\n${long}`],
    ['an integer of TOML', `[tenant_config]\na = ${'9'.repeat(100_000)}`],
    ['a key of TOML', `[tenant_config]\n${long} = 99999999999999999999`],
    ['the tables of a mode', `[mode.${long}]\n`],
  ])('the message about %s stays short, however long that is', (_, text) => {
    const error = storageErrorThrownBy(() => parseTenantConfig(text));
    expect([error.code, error.cause]).toEqual(['corrupt', undefined]);
    expect(error.message.length).toBeLessThan(300);
  });

  it.each([
    ['its subject', { what: long }],
    ['what was found', { what: 'field', expected: 'less', actual: long }],
    ['what is added', { what: 'field' }],
  ])('a message stays short, however long %s is', (_, details) => {
    const error = new StorageError('corrupt', details).with({ actual: long });
    expect(error.message.length).toBeLessThan(700);
    expect(error.actual).toBe(`${'a'.repeat(128)}...`);
  });
});

describe('a line of the input of build', () => {
  const build = (line: string) =>
    runCli(['build', '-', '--out', temporaryDirectory(), '--json'], { stdin: line });

  it.each([
    ['lists', `{"kind":"delta","tenant_id":${'['.repeat(30_000)}${']'.repeat(30_000)}}`],
    ['objects', `{"kind":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`],
    ['lists that have no end', `{"kind":${'['.repeat(60_000)}`],
  ])(
    'a line of the input of build with %s in each other is refused by its number',
    async (_, line) => {
      const result = await build(line);
      expect(result.status).toBe(2);
      const { code, message } = parseError(result);
      expect(code).toBe('invalid-input');
      expect(message).toMatch(/^line 1: /);
      expect(String(message).length).toBeLessThan(300);
    },
  );
});

it('values that continue after the place of the index that the summary names are read, and the place is damage', async () => {
  const blobs = Array.from({ length: 100 }, () => shortBlob(new Uint8Array(120)));
  const offsets = offsetsOf(blobs);
  const leaf = nodeBlock({ keys: offsets.map((_, at) => blockKey(at)), values: offsets });
  const bytes = layerBytes({ kind: 'image', blobs, blocks: [leaf] });
  expect(bytes.readUInt32BE(80)).toBe(3);
  bytes.writeUInt32BE(2, 80);
  const report = await verifyLayer(bytes);
  expect(report).toMatchObject({ ok: false, entries: 100, codes: ['corrupt'] });
  expect(report.findings).toContainEqual(
    expect.objectContaining({
      offset: 2 * 8192,
      message: expect.stringContaining('index continues after the root that the summary names'),
    }),
  );
});
