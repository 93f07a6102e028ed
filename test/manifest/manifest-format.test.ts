import { describe, expect, test } from 'vitest';
import { crc32cOf } from '../../src/checksum.ts';
import type { StorageError } from '../../src/errors.ts';
import {
  encodeManifest,
  type FileManifest,
  formatManifestName,
  ManifestDecoder,
  parseManifestName,
} from '../../src/manifest/manifest-format.ts';
import { noise } from '../support/layers.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const SHA256 = 'ab'.repeat(32);
const MANIFEST: FileManifest = {
  name: 'base é.tar',
  length: 8200,
  checksums: Uint32Array.of(0x0a1b2c3d, 0xffff_fff0),
  sha256: SHA256,
};
const LINES = [
  '{"manifest":1,"name":"base \\u00e9.tar","length":8200,"block_size":8192}\n',
  '{"block":0,"length":8192,"crc32c":"0a1b2c3d"}\n',
  '{"block":1,"length":8,"crc32c":"fffffff0"}\n',
];

function text(manifest: FileManifest): string {
  return Buffer.concat([...encodeManifest(manifest)]).toString('latin1');
}

/** In pieces of N bytes. */
function decode(bytes: string, size = bytes.length): FileManifest {
  const decoder = new ManifestDecoder('x');
  const all = Buffer.from(bytes, 'latin1');
  for (let at = 0; at < all.length; at += size) decoder.add(all.subarray(at, at + size));
  return decoder.finish();
}

function errorOf(bytes: string): StorageError {
  return storageErrorThrownBy(() => decode(bytes));
}

function withEnd(lines: string): string {
  const begin = `${lines}{"sha256":"${SHA256}"`;
  const crc = crc32cOf(Buffer.from(begin, 'latin1')).toString(16).padStart(8, '0');
  return `${begin},"crc32c":"${crc}"}\n`;
}

describe('a manifest', () => {
  test('a manifest is encoded as its lines and a checksum', () => {
    expect(text(MANIFEST)).toBe(withEnd(LINES.join('')));
  });

  test.each([1, 7, 64, 100_000])('a manifest is decoded from pieces of %d bytes', (size) => {
    expect(decode(text(MANIFEST), size)).toEqual(MANIFEST);
  });

  test('a manifest of an empty file and of thousands of blocks is decoded', () => {
    const empty = { ...MANIFEST, length: 0, checksums: new Uint32Array(0) };
    expect(decode(text(empty))).toEqual(empty);
    const checksums = Uint32Array.from(noise(5000, 1), (byte, block) => byte * block);
    const large = { ...MANIFEST, length: 5000 * 8192 - 1, checksums };
    expect(decode(text(large), 65_536)).toEqual(large);
  });

  test('a manifest in which any byte has changed is refused, with its line', () => {
    const whole = text(MANIFEST);
    for (let at = 0; at < whole.length; at += 1) {
      const changed = String.fromCharCode(whole.charCodeAt(at) ^ 1);
      const error = errorOf(whole.slice(0, at) + changed + whole.slice(at + 1));
      expect(['corrupt', 'truncated', 'unsupported-version', 'too-large']).toContain(error.code);
      expect(error).toMatchObject({ path: 'x', offset: expect.any(Number) });
    }
  });

  test('a manifest that was cut anywhere is truncated', () => {
    const whole = text(MANIFEST);
    for (let length = 0; length < whole.length; length += 1) {
      expect(errorOf(whole.slice(0, length)).code).toBe('truncated');
    }
  });

  test('a manifest of another version is unsupported-version', () => {
    const other = (LINES[0] ?? '').replace('"manifest":1', '"manifest":2');
    expect(errorOf(other)).toMatchObject({ code: 'unsupported-version', actual: '2' });
  });

  test('a manifest with a wrong head, block or end is corrupt at the line', () => {
    const [head = '', first = '', second = ''] = LINES;
    const cases: [string, number][] = [
      ['\n', 0],
      ['[]\n', 0],
      ['{"manifest":1,"name":1,"length":8200,"block_size":8192}\n', 0],
      ['{"manifest":1,"name":"x","length":-1,"block_size":8192}\n', 0],
      ['{"manifest":1,"name":"x","length":1,"block_size":4096}\n', 0],
      [head + second, head.length],
      [head + first + first, head.length + first.length],
      [withEnd(head + first), head.length + first.length],
      [`${withEnd(LINES.join(''))}\n`, withEnd(LINES.join('')).length],
    ];
    for (const [lines, offset] of cases) {
      expect(errorOf(lines)).toMatchObject({ code: 'corrupt', offset });
    }
  });

  test('a manifest with an endless line, or more blocks than fit in memory, is refused early', () => {
    expect(errorOf('x'.repeat(5000)).code).toBe('corrupt');
    const huge = (LINES[0] ?? '').replace('8200', String(2 ** 53 - 1));
    expect(errorOf(huge).code).toBe('too-large');
  });

  test('the name of a manifest contains the name of its file', () => {
    expect(formatManifestName('base.tar')).toBe('manifest-base.tar');
    expect(parseManifestName('manifest-base.tar')).toBe('base.tar');
    for (const name of ['base.tar', 'manifest-', 'tenant-manifest-00000001.json']) {
      expect(parseManifestName(name)).toBeUndefined();
    }
  });
});
