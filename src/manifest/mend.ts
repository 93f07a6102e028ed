/** Repairs flipped bits, at most one in each block, in a new file. */
import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import { BufferedWriter } from '../blob-writer/buffered-writer.ts';
import type { ByteSource } from '../blob-writer/byte-source.ts';
import { checkText } from '../check-options.ts';
import { crc32cOf } from '../checksum.ts';
import { corrupt, StorageError, withOutcome, withPath } from '../errors.ts';
import { absolutePath, pathIn } from '../virtual-file/absolute-path.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import { publishFilled } from '../virtual-file/durable-rename.ts';
import { temporaryName } from '../virtual-file/leftover-names.ts';
import type { TemporaryFile } from '../virtual-file/temporary-file.ts';
import { createUnique } from '../virtual-file/unique-file.ts';
import { flip } from './check-manifest.ts';
import { type FlippedBit, locateFlippedBit } from './flipped-bit.ts';
import { checkFileManifest, type FileManifest, formatChecksum } from './manifest-format.ts';
import { type FileInput, type FileReadOptions, piecesOf, withSource } from './pieces.ts';
import { checkFileOptions } from './sidecar.ts';

/** The result of `mendFile`. */
export interface MendedFile {
  /** As given. */
  readonly path: string;
  /** Bytes of the file. */
  readonly size: number;
  /** The bits that were flipped back, by their offsets in the file. */
  readonly bits: readonly FlippedBit[];
}

/**
 * Writes a repaired copy of a damaged file, with the content that its manifest describes: flips back the one flipped
 * bit of each damaged block, and omits bytes after the end. The damaged file is only read.
 *
 * Durability: once it resolves, the file survives a crash, and has the SHA-256 of the manifest.
 *
 * @param from - path of the damaged file, or a source of its bytes
 * @param target - path of the new file, which must not exist
 * @throws `corrupt` if more than one bit of a block has changed, `truncated` if the file is too short: then nothing is
 * written. `exists`, `not-found` (no such directory), `io`, `sync-failed`, `aborted`; `outcome` states what is on disk.
 */
export async function mendFile(
  from: FileInput,
  manifest: FileManifest,
  target: string,
  options: FileReadOptions = {},
): Promise<MendedFile> {
  checkFileManifest(manifest);
  checkText('target', target);
  checkFileOptions(options);
  const absolute = absolutePath(target);
  const pathOf = (token: string): string =>
    pathIn(dirname(absolute), temporaryName(basename(absolute), token));
  const written = { isDurable: false };
  try {
    return await withSource(from, options, async (source) => {
      checkLength(source, manifest);
      const { openFiles, signal } = options;
      try {
        const temporary = await createUnique(pathOf, { openFiles, signal });
        const fill = () => copyMended(source, manifest, temporary, signal);
        const bits = await publishFilled(temporary, absolute, fill);
        written.isDurable = true;
        return { path: target, size: manifest.length, bits };
      } catch (error) {
        throw withPath(withOutcome(error, 'not-applied'), target);
      }
    });
  } catch (error) {
    // An error of the damaged file, before the new one or, when it is closed, after it.
    throw withOutcome(error, written.isDurable ? 'durable' : 'not-applied');
  }
}

function checkLength({ size, path }: ByteSource, { length }: FileManifest): void {
  if (size >= length) return;
  throw new StorageError('truncated', {
    what: 'file is truncated: what is missing cannot be mended',
    path,
    offset: size,
    expected: `${length} bytes`,
    actual: `${size}`,
  });
}

async function copyMended(
  source: ByteSource,
  manifest: FileManifest,
  { file }: TemporaryFile,
  signal: AbortSignal | undefined,
): Promise<FlippedBit[]> {
  const bits: FlippedBit[] = [];
  const hash = createHash('sha256');
  const out = new BufferedWriter(file, { signal });
  try {
    let offset = 0;
    for await (const piece of piecesOf(source, manifest.length, signal)) {
      for (let at = 0; at < piece.length; at += BLOCK_SIZE) {
        const bytes = piece.subarray(at, at + BLOCK_SIZE);
        const bit = mendBlock(bytes, (offset + at) / BLOCK_SIZE, { manifest, path: source.path });
        if (bit !== undefined) bits.push({ offset: offset + at + bit.offset, bit: bit.bit });
      }
      hash.update(piece);
      await out.append(piece);
      offset += piece.length;
    }
    const sha256 = hash.digest('hex');
    if (sha256 !== manifest.sha256) {
      throw corrupt('SHA-256 of the mended file', undefined, manifest.sha256, sha256).with({
        path: source.path,
      });
    }
    await out.finish();
    return bits;
  } finally {
    await out.abandon();
  }
}

/** Flips the bit back, in place. Returns: the bit, by its offset in the block; undefined for an undamaged block. */
function mendBlock(
  bytes: Uint8Array,
  block: number,
  { manifest, path }: { readonly manifest: FileManifest; readonly path: string | undefined },
): FlippedBit | undefined {
  const expected = manifest.checksums[block] ?? 0;
  const actual = crc32cOf(bytes);
  if (actual === expected) return undefined;
  const bit = locateFlippedBit(actual ^ expected, bytes.length);
  if (bit === undefined) {
    const what = `more than one bit has changed in block ${block}, which cannot be mended: CRC-32C`;
    const offset = block * BLOCK_SIZE;
    throw corrupt(what, offset, formatChecksum(expected), formatChecksum(actual)).with({ path });
  }
  flip(bytes, bit);
  return bit;
}
