/**
 * Compares a file with its manifest, in one pass.
 *
 * A block whose checksum differs is compared with all flips of one bit. The digest is computed with the located flips
 * undone: if it equals that of the manifest, they are proven.
 */
import { createHash } from 'node:crypto';
import type { ByteSource } from '../blob-writer/byte-source.ts';
import { checkCount, type KnownOptions } from '../check-options.ts';
import type { StorageErrorCode } from '../errors.ts';
import { type OnProgress, tellProgress } from '../progress.ts';
import { BLOCK_SIZE, blocksFor } from '../virtual-file/block.ts';
import { type FlippedBit, locateFlippedBit } from './flipped-bit.ts';
import { checkFileManifest, type FileManifest, formatChecksum } from './manifest-format.ts';
import { checksummedPiecesOf, type FileInput, type FileReadOptions, withSource } from './pieces.ts';
import { checkFileOptions } from './sidecar.ts';

/** How a file differs from its manifest. */
export interface ManifestFinding {
  /** Always `error`: the file has changed. */
  readonly severity: 'error';
  /** `corrupt`; `truncated` if the file is too short. */
  readonly code: StorageErrorCode;
  /** One line of text, without the path. */
  readonly message: string;
  /** Offset of the byte, if one bit was flipped; otherwise of the block. From the start of the file. */
  readonly offset: number;
  /** The one flipped bit of the block. Proven: undoing all such flips gives the SHA-256 of the file. */
  readonly bit?: FlippedBit | undefined;
}

/** The result of `checkManifest`. */
export interface ManifestReport {
  /** Path of the file; for a source without one, the name in the manifest. */
  readonly path: string;
  /** True if the file is unchanged. */
  readonly ok: boolean;
  /** Present size of the file in bytes. */
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

const CHECK_OPTIONS: KnownOptions<CheckManifestOptions> = {
  openFiles: true,
  signal: true,
  maximumFindings: true,
  onProgress: 'function',
};

const DEFAULT_MAXIMUM_FINDINGS = 1000;

/**
 * Compares a file with its manifest: every block, the length and the SHA-256. Locates a single flipped bit in a block.
 *
 * @param from - path of the file, or a source of its bytes
 * @returns the differences
 * @throws errors of reading the file: `not-found`, `io`, `aborted`, and those of the source.
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
  checkFileOptions(options, CHECK_OPTIONS);
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
      // The rest of a truncated block cannot be compared.
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
    tellProgress(onProgress, offset, length);
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

/** A block that has changed. */
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
