/** The command line over untrusted files and names. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatKey } from '../../src/layers/key.ts';
import { encodeValue, type Value } from '../../src/layers/value-format.ts';
import { parseError, parseLines, type RunResult, runCli } from '../cli/support.ts';
import { deltaKey, layerBytes, nodeBlock, offsetsOf } from '../support/hand-made.ts';
import { blockKey, LSN_RANGE, noise, writeDelta, writeImages } from '../support/layers.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { encodeFrame } from '../support/zstd-frames.ts';
import { frameBlob } from './seeds.ts';

/** Sets the clipboard, clears the screen, goes back, and turns the line around. */
const EVIL =
  '\u001b]52;c;ZXZpbA==\u0007\u001b[2J\r\u0008\u009b31m\u202egnp.exe\u2066\u200b\u2028\ufeff';

/** Controls, marks that are invisible and lone surrogates, but not the end of a line. */
const UNSAFE = /(?!\n)[\p{C}\p{Zl}\p{Zp}]/u;

function expectHarmless({ stdout, stderr }: RunResult): void {
  expect(stdout).not.toMatch(UNSAFE);
  expect(stderr).not.toMatch(UNSAFE);
}

function fileOf(bytes: Uint8Array, name = 'layer'): string {
  const path = join(temporaryDirectory(), name);
  writeFileSync(path, bytes);
  return path;
}

const KEY = blockKey(1);

async function deltaOf(value: Value): Promise<Uint8Array> {
  return (await writeDelta([{ key: KEY, lsn: LSN_RANGE.start, value }])).bytes;
}

describe('escape sequences', () => {
  it.each<[string, Value]>([
    ['the path of a file', { type: 'aux_file', path: EVIL, content: Buffer.from(EVIL) }],
    ['an image', { type: 'image', bytes: Buffer.from(EVIL) }],
    ['a record', { type: 'wal', willInit: true, bytes: Buffer.from(EVIL) }],
  ])('escape sequences in %s do not reach the terminal', async (_, value) => {
    const file = fileOf(await deltaOf(value));
    for (const terminal of [false, true]) {
      for (const values of ['none', 'hex', 'sha256', 'json']) {
        for (const format of [[], ['--json'], ['--ndjson']]) {
          const result = await runCli(['dump', file, '--values', values, ...format], {
            terminal,
            environment: { NO_COLOR: '1' },
          });
          expect(result.status).toBe(0);
          expectHarmless(result);
        }
      }
      for (const format of [[], ['--json']]) {
        const result = await runCli(['get', file, formatKey(KEY), ...format], {
          terminal,
          environment: { NO_COLOR: '1' },
        });
        expect(result.status).toBe(0);
        expectHarmless(result);
      }
    }
  });

  it('escape sequences in the path of a file are in the JSON, for those who decode it', async () => {
    const file = fileOf(await deltaOf({ type: 'aux_file', path: EVIL, content: null }));
    const [line] = parseLines(
      (await runCli(['dump', file, '--ndjson', '--values', 'json'])).stdout,
    );
    expect(line?.['value']).toMatchObject({ path: EVIL });
  });

  it.each(['inspect', 'dump', 'verify', 'index', 'metadata', 'get'])(
    'escape sequences in a file name and in arguments do not reach the terminal: %s',
    async (command) => {
      const file = fileOf(noise(9000, 1), `evil-${EVIL}`);
      for (const words of [[file], [join(file, 'missing')], [`${file}-missing`]]) {
        const all = command === 'get' ? [...words, formatKey(KEY)] : words;
        for (const format of [[], ['--json'], ['--ndjson']]) {
          const result = await runCli([command, ...all, ...format], {
            terminal: true,
            environment: { NO_COLOR: '1' },
          });
          expect(result.status).not.toBe(0);
          expectHarmless(result);
        }
      }
      expectHarmless(
        await runCli([command, file, `--${EVIL}`], {
          terminal: true,
          environment: { NO_COLOR: '1' },
        }),
      );
    },
  );

  it.each([
    ['get', 'FILE', EVIL],
    ['get', 'FILE', `rel=${EVIL}`],
    ['get', 'FILE', '0'.repeat(36), '--lsn', EVIL],
    ['dump', 'FILE', '--key-start', EVIL],
    ['dump', 'FILE', '--values', EVIL],
    ['dump', 'FILE', '--max-blob', EVIL],
    ['key', EVIL],
    ['metadata', 'FILE', '--set', `${EVIL}=1`],
    ['metadata', 'FILE', '--set', `initdb_lsn=${EVIL}`],
    [EVIL],
  ])('escape sequences in the arguments of %j do not reach the terminal', async (...words) => {
    const file = fileOf(await deltaOf({ type: 'image', bytes: noise(3, 1) }));
    for (const format of [[], ['--json']]) {
      const commandLine = words.map((word) => (word === 'FILE' ? file : word));
      const result = await runCli([...commandLine, ...format], {
        terminal: true,
        environment: { NO_COLOR: '1' },
      });
      expect(result.status).toBe(2);
      expectHarmless(result);
    }
  });

  it('escape sequences in names below a directory do not reach the terminal', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, `directory-${EVIL}`));
    const layer = await writeImages([{ key: KEY, image: noise(9, 1) }]);
    writeFileSync(join(directory, `directory-${EVIL}`, layer.finished.name), layer.bytes);
    writeFileSync(join(directory, `${EVIL}.___temp`), '');
    for (const format of [[], ['--json'], ['--ndjson']]) {
      const result = await runCli(['verify', directory, ...format], {
        terminal: true,
        environment: { NO_COLOR: '1' },
      });
      expect(result.status).toBe(0);
      expectHarmless(result);
    }
  });
});

describe('special files', () => {
  it('special files are refused immediately by every command', async () => {
    const directory = temporaryDirectory();
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    symlinkSync(fifo, join(directory, 'link'));
    for (const path of [fifo, join(directory, 'link'), '/dev/zero', directory]) {
      for (const words of [
        ['inspect'],
        ['dump'],
        ['index'],
        ['metadata'],
        ['get', '0'.repeat(36)],
        ['export', 'page', '0'.repeat(36)],
      ]) {
        const [command = '', ...rest] = words;
        const line =
          command === 'export' ? [command, 'page', path, '0'.repeat(36)] : [command, path, ...rest];
        const result = await runCli([...line, '--json']);
        expect([line, result.status]).toEqual([line, 3]);
        expect(parseError(result)).toMatchObject({ code: 'io' });
      }
    }
    expect((await runCli(['verify', fifo, '/dev/zero'])).status).toBe(3);
  });

  it('special files below a directory are reported if they have the name of a layer, and links to directories are not followed', async () => {
    const directory = temporaryDirectory();
    const layer = await writeImages([{ key: KEY, image: noise(9, 1) }]);
    mkdirSync(join(directory, 'inner'));
    symlinkSync(directory, join(directory, 'inner', 'loop'));
    const valid = await runCli(['verify', directory, '--json']);
    expect([valid.status, JSON.parse(valid.stdout)]).toEqual([0, { ok: true, files: [] }]);
    const name = layer.finished.name;
    execFileSync('mkfifo', [join(directory, 'inner', name)]);
    for (const target of [undefined, '/dev/zero']) {
      if (target !== undefined) {
        rmSync(join(directory, 'inner', name));
        symlinkSync(target, join(directory, 'inner', name));
      }
      const result = await runCli(['verify', directory, '--json']);
      expect([result.status, parseError(result)['code']]).toEqual([3, 'io']);
    }
  });
});

describe('a file that shrinks while it is dumped', () => {
  it('a file that shrinks while it is dumped is truncated, and what was read before is there', async () => {
    const images = Array.from({ length: 1200 }, (_, index) => ({
      key: blockKey(index),
      image: noise(8192, index),
    }));
    const file = fileOf((await writeImages(images)).bytes);
    const words = ['dump', file, '--ndjson', '--values', 'sha256'];
    const whole = parseLines((await runCli(words)).stdout);
    const result = await runCli(words, { onFirstOutput: () => truncateSync(file, 8192) });
    expect(result.status).toBe(1);
    const lines = parseLines(result.stdout);
    const read = lines.findIndex((line) => 'error' in line);
    expect(read).toBeGreaterThan(0);
    expect(read).toBeLessThan(whole.length);
    expect(lines.slice(0, read)).toEqual(whole.slice(0, read));
    expect(lines[read]?.['error']).toMatchObject({ code: 'truncated' });
    expect(lines.slice(read).filter((line) => !('error' in line))).toEqual([]);
  });
});

describe('limits', () => {
  const zeros = (length: number) =>
    Array.from(
      { length: length / 131_072 },
      () => ({ kind: 'repeated', byte: 0, length: 131_072 }) as const,
    );
  const blobs = [
    frameBlob(encodeFrame({ blocks: zeros(64 * 131_072) })),
    frameBlob(encodeFrame({ blocks: zeros(131_072), window: 14 << 3 })),
  ];
  const image = () => {
    const leaf = nodeBlock({
      keys: [blockKey(0), blockKey(1)],
      values: offsetsOf(blobs),
      prefixLength: 14,
    });
    return fileOf(layerBytes({ kind: 'image', blobs, blocks: [leaf] }));
  };

  it.each<[string[], (string | undefined)[]]>([
    [[], [undefined, 'too-large']],
    [
      ['--max-window', '16MiB'],
      [undefined, undefined],
    ],
    [
      ['--max-window', '16777216', '--max-blob', '8MiB'],
      [undefined, undefined],
    ],
    [
      ['--max-blob', '8388607'],
      ['too-large', 'too-large'],
    ],
    [
      ['--max-window=16m', '--max-blob=128k'],
      ['too-large', undefined],
    ],
  ])(
    'with the flags %j each command refuses exactly the values beyond the limits',
    async (flags, codes) => {
      const file = image();
      for (const values of ['none', 'sha256', 'hex']) {
        const { stdout, status } = await runCli([
          'dump',
          file,
          '--ndjson',
          '--values',
          values,
          ...flags,
        ]);
        const errors = parseLines(stdout).map(
          ({ error }) => JSON.parse(JSON.stringify(error ?? null))?.code,
        );
        expect(errors).toEqual(codes);
        expect(status).toBe(codes.some((code) => code !== undefined) ? 1 : 0);
      }
      const report = JSON.parse((await runCli(['verify', file, '--ndjson', ...flags])).stdout);
      expect(report.errors).toBe(codes.filter((code) => code !== undefined).length);
      for (const [index, code] of codes.entries()) {
        const got = await runCli(['get', file, formatKey(blockKey(index)), '--json', ...flags]);
        expect(code === undefined ? 0 : parseError(got)['code']).toBe(code ?? got.status);
      }
    },
  );

  it.each(['', '1 PiB', '-1', '0x10', '1e3', 'much', '99999999999999t'])(
    'a limit of %j, which is no size, is wrong usage',
    async (size) => {
      const { status } = await runCli(['dump', image(), '--max-blob', size]);
      expect(status).toBe(2);
    },
  );
});

describe('a value of 20 MiB', () => {
  const content = encodeValue({ type: 'image', bytes: new Uint8Array(20 * 1024 * 1024).fill(7) });
  const compressed = encodeFrame({
    blocks: [
      { kind: 'raw', bytes: content.subarray(0, 12) },
      ...Array.from(
        { length: 160 },
        () => ({ kind: 'repeated', byte: 7, length: 131_072 }) as const,
      ),
    ],
    checksum: 'right',
  });
  const header = Buffer.alloc(4);
  header.writeUInt32BE(0x8000_0000 + content.length);

  it.each([
    ['plain', Buffer.concat([header, content])],
    ['compressed', frameBlob(compressed)],
  ])(
    'a value of 20 MiB, %s in a delta, is told by its first bytes, its length and its digest',
    async (_, blob) => {
      const blocks = [
        nodeBlock({ keys: [deltaKey(KEY, LSN_RANGE.start)], values: [8192 * 2 + 1] }),
      ];
      const file = fileOf(layerBytes({ kind: 'delta', blobs: [blob], blocks }));
      const [line] = parseLines(
        (await runCli(['dump', file, '--ndjson', '--values', 'sha256'])).stdout,
      );
      expect(line).toMatchObject({
        type: 'image',
        len: content.length,
        stored_len: blob.length,
        sha256: createHash('sha256').update(content).digest('hex'),
      });
      expect((await runCli(['verify', file])).status).toBe(0);
    },
  );

  it.each<[string, (bytes: Buffer) => void, number]>([
    ['with another length inside', (bytes) => bytes.writeUInt8(1, 8192 + 4 + 11), 1],
    ['of no type', (bytes) => bytes.writeUInt8(9, 8192 + 4 + 3), 1],
  ])('a value of 20 MiB %s is reported as damaged', async (_, damage, status) => {
    const blocks = [nodeBlock({ keys: [deltaKey(KEY, LSN_RANGE.start)], values: [8192 * 2 + 1] })];
    const bytes = layerBytes({ kind: 'delta', blobs: [Buffer.concat([header, content])], blocks });
    damage(bytes);
    const file = fileOf(bytes);
    const none = await runCli(['dump', file, '--ndjson']);
    const hex = await runCli(['dump', file, '--ndjson', '--values', 'hex']);
    expect([none.status, none.stdout]).toEqual([status, hex.stdout]);
    expect((await runCli(['verify', file])).status).toBe(status);
  });
});
