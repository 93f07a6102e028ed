/**
 * Manifest of a file: a sidecar of JSON lines in ASCII, which detects changed bytes.
 *
 *   {"manifest":1,"name":"…","length":N,"block_size":8192}
 *   {"block":0,"length":8192,"crc32c":"0a1b2c3d"}             a line a block, in order; the last one may be shorter
 *   …
 *   {"sha256":"64 hex digits","crc32c":"89abcdef"}
 *
 *   name     of the file, without its directory
 *   length   of the file, or of a block, in bytes
 *   crc32c   of the block, 8 lower-case hex digits; in the last line, of all bytes up to the comma before it
 *   sha256   of the file
 *
 * Every line ends with a line feed. The sidecar of NAME is called manifest-NAME: with a suffix, a pageserver could
 * mistake it for a layer, because it accepts anything after `-v` as a generation. Invariant: there are as many blocks
 * as the length needs.
 */
import { assert } from '../assert.ts';
import { checkArray, checkCount, checkObject, checkText } from '../check-options.ts';
import { crc32cOf } from '../checksum.ts';
import { corrupt, StorageError, tooLarge } from '../errors.ts';
import { BLOCK_SIZE, blocksFor } from '../virtual-file/block.ts';

/** The version that is written, and the only one that is read. */
const MANIFEST_VERSION = 1;

const NAME_PREFIX = 'manifest-';

/** The name, length and checksums of a file. */
export interface FileManifest {
  /** Name of the file, without its directory. */
  readonly name: string;
  /** Bytes of the file. */
  readonly length: number;
  /** CRC-32C of each block of 8 KiB; the last block may be shorter. */
  readonly checksums: Uint32Array;
  /** SHA-256 of the file, 64 lower-case hex digits. */
  readonly sha256: string;
}

/** The name of the sidecar of a file. */
export function formatManifestName(name: string): string {
  checkText('name', name);
  return NAME_PREFIX + name;
}

/** The name of the file that a sidecar of this name is for; undefined for the name of anything else. */
export function parseManifestName(name: string): string | undefined {
  checkText('name', name);
  const isManifest = name.startsWith(NAME_PREFIX) && name.length > NAME_PREFIX.length;
  return isManifest ? name.slice(NAME_PREFIX.length) : undefined;
}

/** Throws `invalid-input` unless the value is a manifest: untyped callers may pass anything. */
export function checkFileManifest(manifest: FileManifest): void {
  checkObject('manifest', manifest);
  const { name, length, checksums, sha256 } = manifest;
  checkText('name of the file', name);
  checkCount('length of the file', length);
  checkArray('checksums', checksums);
  checkCount('number of checksums', checksums.length, {
    from: blocksFor(length),
    to: blocksFor(length),
  });
  checkText('SHA-256', sha256);
}

/** A checksum, as shown in manifests and messages. */
export function formatChecksum(checksum: number): string {
  return checksum.toString(16).padStart(8, '0');
}

/** Bytes of block `block` of a file. */
function blockLength(block: number, length: number): number {
  return Math.min(BLOCK_SIZE, length - block * BLOCK_SIZE);
}

/** Bytes of lines that are made together. */
const PIECE_LENGTH = 64 * 1024;

/** The bytes of a sidecar, in pieces of about 64 KiB. */
export function* encodeManifest(manifest: FileManifest): Generator<Uint8Array> {
  const { name, length, checksums, sha256 } = manifest;
  assert(checksums.length === blocksFor(length), 'there are as many blocks as the length needs');
  const head = { manifest: MANIFEST_VERSION, name, length, block_size: BLOCK_SIZE };
  let lines = `${asciiJson(head)}\n`;
  let checksum = 0;
  for (const [block, crc32c] of checksums.entries()) {
    const size = blockLength(block, length);
    lines += `{"block":${block},"length":${size},"crc32c":"${formatChecksum(crc32c)}"}\n`;
    if (lines.length < PIECE_LENGTH) continue;
    const piece = Buffer.from(lines, 'latin1');
    checksum = crc32cOf(piece, checksum);
    yield piece;
    lines = '';
  }
  lines += `{"sha256":"${sha256}"`;
  checksum = crc32cOf(Buffer.from(lines, 'latin1'), checksum);
  yield Buffer.from(`${lines},"crc32c":"${formatChecksum(checksum)}"}\n`, 'latin1');
}

/** Longer than any line: a name has at most 255 bytes, of which each takes at most 6. */
const MAXIMUM_LINE_LENGTH = 4096;

/** Blocks of a file of 8 TiB: 4 GiB of checksums. */
const MAXIMUM_BLOCKS = 2 ** 30;

/** Decodes a sidecar that arrives in pieces. Memory grows with the bytes received, not with the claims of the head. */
export class ManifestDecoder {
  readonly #path: string | undefined;
  /** Bytes of an incomplete line. */
  #rest = '';
  /** Offset of the next line. */
  #offset = 0;
  #checksum = 0;
  #head: { readonly name: string; readonly length: number } | undefined;
  #sha256: string | undefined;
  #checksums = new Uint32Array(1024);
  #count = 0;

  constructor(path: string | undefined) {
    this.#path = path;
  }

  /** Throws `corrupt`, `unsupported-version`, `too-large`, with the offset of the line. */
  add(piece: Uint8Array): void {
    const { buffer, byteOffset, byteLength } = piece;
    const lines = (
      this.#rest + Buffer.from(buffer, byteOffset, byteLength).toString('latin1')
    ).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
    if (this.#rest.length > MAXIMUM_LINE_LENGTH) throw this.#wrong('a line', 'a longer one');
  }

  /** Throws `truncated` if the last line is missing. */
  finish(): FileManifest {
    if (this.#head === undefined || this.#sha256 === undefined || this.#rest !== '') {
      throw new StorageError('truncated', {
        what: 'manifest is truncated',
        path: this.#path,
        offset: this.#offset,
        expected: 'a line with the SHA-256 at its end',
      });
    }
    const checksums = this.#checksums.slice(0, this.#count);
    return { ...this.#head, checksums, sha256: this.#sha256 };
  }

  #line(line: string): void {
    if (this.#head === undefined) this.#head = this.#decodeHead(line);
    else if (this.#sha256 !== undefined) throw this.#wrong('the end of the manifest', line);
    else if (this.#count < blocksFor(this.#head.length)) this.#decodeBlock(line, this.#head.length);
    else this.#sha256 = this.#decodeEnd(line);
    this.#checksum = crc32cOf(Buffer.from(`${line}\n`, 'latin1'), this.#checksum);
    this.#offset += line.length + 1;
  }

  #decodeHead(line: string): { name: string; length: number } {
    const fields = this.#parse(line, 'the head of a manifest');
    const { manifest: version, name, length, block_size: blockSize } = fields;
    if (typeof version === 'number' && version !== MANIFEST_VERSION) {
      throw new StorageError('unsupported-version', {
        what: 'version of the manifest',
        path: this.#path,
        offset: 0,
        expected: `${MANIFEST_VERSION}`,
        actual: `${version}`,
      });
    }
    const isValid = version === MANIFEST_VERSION && blockSize === BLOCK_SIZE;
    if (!isValid || typeof name !== 'string' || typeof length !== 'number') {
      throw this.#wrong('the head of a manifest', line);
    }
    if (!Number.isSafeInteger(length) || length < 0) throw this.#wrong('a length', `${length}`);
    if (blocksFor(length) <= MAXIMUM_BLOCKS) return { name, length };
    const excess = { maximum: MAXIMUM_BLOCKS, actual: blocksFor(length), unit: 'blocks' };
    throw tooLarge('file of the manifest', { ...excess, path: this.#path, offset: this.#offset });
  }

  #decodeBlock(line: string, fileLength: number): void {
    const block = this.#count;
    const length = blockLength(block, fileLength);
    const begin = `{"block":${block},"length":${length},"crc32c":"`;
    const digits = line.slice(begin.length, begin.length + 8);
    const isValid = line === `${begin}${digits}"}` && /^[0-9a-f]{8}$/.test(digits);
    if (!isValid) throw this.#wrong(`block ${block} of ${length} bytes`, line);
    if (block === this.#checksums.length) {
      const larger = new Uint32Array(2 * block);
      larger.set(this.#checksums);
      this.#checksums = larger;
    }
    this.#checksums[block] = Number.parseInt(digits, 16);
    this.#count += 1;
  }

  #decodeEnd(line: string): string {
    const fields =
      /^\{"sha256":"(?<sha256>[0-9a-f]{64})","crc32c":"(?<crc32c>[0-9a-f]{8})"\}$/.exec(
        line,
      )?.groups;
    const { sha256, crc32c } = fields ?? {};
    if (sha256 === undefined || crc32c === undefined) {
      throw this.#wrong('the last line of the manifest', line);
    }
    const begin = Buffer.from(`{"sha256":"${sha256}"`, 'latin1');
    const actual = formatChecksum(crc32cOf(begin, this.#checksum));
    if (crc32c === actual) return sha256;
    throw this.#wrong(`CRC-32C ${crc32c} of the manifest`, actual);
  }

  #parse(line: string, expected: string): Record<string, unknown> {
    try {
      const value: unknown = JSON.parse(line);
      if (typeof value === 'object' && value !== null) return { ...value };
    } catch {
      // It is not JSON.
    }
    throw this.#wrong(expected, line);
  }

  #wrong(expected: string, actual: string): StorageError {
    return corrupt('manifest', this.#offset, expected, actual).with({ path: this.#path });
  }
}

/** JSON without characters above ASCII, so that its length in bytes is that of the text. */
function asciiJson(value: object): string {
  return JSON.stringify(value).replace(
    /[\u0080-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
