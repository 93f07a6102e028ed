/**
 * Compares a file with its manifest, in one pass.
 *
 * A block whose checksum differs is compared with all flips of one bit. The digest is that of the file as it would be
 * without the flips that were found: if it is the one of the manifest, they are proven.
 */
import { createHash } from 'node:crypto';
import type { ByteSource } from '../blob-writer/byte-source.ts';
import { checkCount } from '../check-options.ts';
import type { StorageErrorCode } from '../errors.ts';
import type { OnProgress } from '../progress.ts';
import { BLOCK_SIZE, blocksFor } from '../virtual-file/block.ts';
import { type FlippedBit, locateFlippedBit } from './flipped-bit.ts';
import { checkFileManifest, type FileManifest, formatChecksum } from './manifest-format.ts';
import { checksummedPiecesOf, type FileInput, type FileReadOptions, withSource } from './pieces.ts';
import { checkFileOptions } from './sidecar.ts';

/** How a file differs from its manifest. */
export interface ManifestFinding {
  /** A change of the file, always. */
  readonly severity: 'error';
  /** `corrupt`; `truncated` if the file is too short. */
  readonly code: StorageErrorCode;
  /** One line of text, without the path. */
  readonly message: string;
  /** Of the byte, if one bit was flipped; else of the block. From the start of the file. */
  readonly offset: number;
  /** The one bit of the block that was flipped. Proven: without all such flips, the file has its SHA-256. */
  readonly bit?: FlippedBit | undefined;
}

/** The result of `checkManifest`. */
export interface ManifestReport {
  /** Of the file; the name in the manifest, for a source without one. */
  readonly path: string;
  /** True if the file is what it was. */
  readonly ok: boolean;
  /** Bytes of the file, as it is. */
  readonly bytes: number;
  /** Blocks that were compared. */
  readonly blocks: number;
  /** In the order of their offsets, up to `maximumFindings`. */
  readonly findings: readonly ManifestFinding[];
  /** Number of findings, listed or not. */
  readonly errors: number;
}

/** Options of `checkManifest`. */
export interface CheckManifestOptions extends FileReadOptions {
  /** Findings that are listed; all are counted. Default 1,000. */
  readonly maximumFindings?: number | undefined;
  /** Called while the file is read. */
  readonly onProgress?: OnProgress | undefined;
}

const DEFAULT_MAXIMUM_FINDINGS = 1000;

/**
 * Compares a file with its manifest: every block, the length and the SHA-256. A single bit of a block that was flipped
 * is located.
 *
 * @param from - path of the file, or a source of its bytes
 * @returns what differs
 * @throws what keeps the file from being read: `not-found`, `io`, `aborted`, and the errors of the source.
 *
 * @example
 * const { ok, findings } = await checkManifest(path, await readManifest(sidecar));
 */
export async function checkManifest(
  from: FileInput,
  manifest: FileManifest,
  options: CheckManifestOptions = {},
): Promise<ManifestReport> {
  checkFileManifest(manifest);
  const known = { openFiles: true, signal: true, maximumFindings: true, onProgress: true } as const;
  checkFileOptions(options, known);
  const { maximumFindings = DEFAULT_MAXIMUM_FINDINGS } = options;
  checkCount('maximumFindings', maximumFindings);
  return withSource(from, options, (source) => checkSource(source, manifest, options));
}

async function checkSource(
  source: ByteSource,
  manifest: FileManifest,
  { signal, maximumFindings = DEFAULT_MAXIMUM_FINDINGS, onProgress }: CheckManifestOptions,
): Promise<ManifestReport> {
  const { path = manifest.name, size } = source;
  const length = Math.min(size, manifest.length);
  const hash = createHash('sha256');
  const found: BlockFinding[] = [];
  let errors = 0;
  let isUnexplained = false;
  let offset = 0;
  for await (const { piece, memory } of checksummedPiecesOf(source, length, signal)) {
    for (let at = 0; at < piece.length; at += BLOCK_SIZE) {
      const block = (offset + at) / BLOCK_SIZE;
      const bytes = piece.subarray(at, at + BLOCK_SIZE);
      // The rest of a block that was cut is not there to be compared.
      const isCut = at + bytes.length + offset === length && length < manifest.length;
      if (isCut && bytes.length < BLOCK_SIZE) continue;
      const actual = memory.crc32c(at, at + bytes.length);
      const expected = manifest.checksums[block] ?? 0;
      if (actual === expected) continue;
      const finding = changedBlock(bytes, block, { expected, actual });
      errors += 1;
      if (finding.bit === undefined) isUnexplained = true;
      else flip(bytes, finding.bit);
      if (found.length < maximumFindings) found.push(finding);
    }
    hash.update(piece);
    offset += piece.length;
    onProgress?.(offset, length);
  }
  const isWhole = size >= manifest.length;
  const isProven = isWhole && !isUnexplained && hash.digest('hex') === manifest.sha256;
  const findings = found.map((each) => describe(each, isProven ? 'proven' : 'unproven'));
  const others = otherFindings(size, manifest, errors === 0 && isWhole && !isProven);
  errors += others.length;
  const listed = [...findings, ...others].slice(0, maximumFindings);
  const blocks = isWhole ? blocksFor(length) : Math.floor(length / BLOCK_SIZE);
  return { path, ok: errors === 0, bytes: size, blocks, findings: listed, errors };
}

/** A block that is not what it was. */
interface BlockFinding {
  readonly block: number;
  readonly expected: number;
  readonly actual: number;
  readonly isZero: boolean;
  /** Within the block. */
  readonly bit: FlippedBit | undefined;
}

function changedBlock(
  bytes: Uint8Array,
  block: number,
  { expected, actual }: Pick<BlockFinding, 'expected' | 'actual'>,
): BlockFinding {
  const bit = locateFlippedBit(actual ^ expected, bytes.length);
  return { block, expected, actual, isZero: bytes.every((byte) => byte === 0), bit };
}

/** Flips a bit in place. */
export function flip(bytes: Uint8Array, { offset, bit }: FlippedBit): void {
  bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit);
}

function describe(finding: BlockFinding, proof: 'proven' | 'unproven'): ManifestFinding {
  const { block, expected, actual, isZero, bit } = finding;
  const start = block * BLOCK_SIZE;
  if (bit !== undefined && proof === 'proven') {
    const offset = start + bit.offset;
    const message = `bit ${bit.bit} of the byte at offset ${offset} is flipped, in block ${block}`;
    return { severity: 'error', code: 'corrupt', message, offset, bit: { offset, bit: bit.bit } };
  }
  const found = `${formatChecksum(actual)}${isZero ? ', and nothing but zeros' : ''}`;
  const message = `block ${block} at offset ${start}: expected CRC-32C ${formatChecksum(expected)}, found ${found}`;
  return { severity: 'error', code: 'corrupt', message, offset: start };
}

function otherFindings(
  size: number,
  { length, sha256 }: FileManifest,
  isDigestWrong: boolean,
): ManifestFinding[] {
  const findings: ManifestFinding[] = [];
  const severity = 'error' as const;
  if (isDigestWrong) {
    const message = `SHA-256 of the file: expected ${sha256}, although all blocks have their CRC-32C`;
    findings.push({ severity, code: 'corrupt', message, offset: 0 });
  }
  if (size < length) {
    const message = `file is truncated at offset ${size}: expected ${length} bytes, found ${size}`;
    findings.push({ severity, code: 'truncated', message, offset: size });
  }
  if (size > length) {
    const message = `bytes after the end at offset ${length}: expected ${length} bytes, found ${size}`;
    findings.push({ severity, code: 'corrupt', message, offset: length });
  }
  return findings;
}
