/** Writes, reads and makes manifests. */
import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import { BufferedWriter } from '../blob-writer/buffered-writer.ts';
import type { ByteSource } from '../blob-writer/byte-source.ts';
import {
  checkOpenFiles,
  checkOptions,
  checkSignal,
  checkText,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError, withOutcome, withPath } from '../errors.ts';
import { absolutePath, pathIn } from '../virtual-file/absolute-path.ts';
import { publishFilled } from '../virtual-file/durable-rename.ts';
import { temporaryName } from '../virtual-file/leftover-names.ts';
import type { TemporaryFile } from '../virtual-file/temporary-file.ts';
import { createUnique } from '../virtual-file/unique-file.ts';
import { BlockSums } from './block-sums.ts';
import {
  checkFileManifest,
  encodeManifest,
  type FileManifest,
  ManifestDecoder,
} from './manifest-format.ts';
import {
  checksummedPiecesOf,
  type FileInput,
  type FileReadOptions,
  piecesOf,
  withSource,
} from './pieces.ts';

/** Checks options of the functions here. */
export function checkFileOptions(
  options: FileReadOptions,
  known: KnownOptions = { openFiles: true, signal: true },
): void {
  checkOptions(options, known);
  checkOpenFiles(options.openFiles);
  checkSignal(options.signal);
}

/** Options of `makeManifest`. */
export interface MakeManifestOptions extends FileReadOptions {
  /** Name of the file, without a directory. Default: that of the path. */
  readonly name?: string | undefined;
}

/**
 * Makes the manifest of a file of any kind, which is read once.
 *
 * @param from - path of the file, or a source of its bytes
 * @returns the manifest; `writeManifest` stores it
 * @throws `not-found`, `io`, `truncated` (the file was truncated while it was read), `aborted`, `invalid-input`, and
 * the errors of the source.
 *
 * @example
 * const manifest = await makeManifest('base.tar');
 * await writeManifest(formatManifestName('base.tar'), manifest);
 */
export async function makeManifest(
  from: FileInput,
  options: MakeManifestOptions = {},
): Promise<FileManifest> {
  checkFileOptions(options, { openFiles: true, signal: true, name: true });
  return withSource(from, options, async (source) => {
    const { name = nameOf(source), signal } = options;
    checkText('name of the file', name);
    const sums = new BlockSums();
    const hash = createHash('sha256');
    for await (const { piece, memory } of checksummedPiecesOf(source, source.size, signal)) {
      sums.addInPlace(memory, piece.length);
      hash.update(piece);
    }
    return { name, length: source.size, checksums: sums.finish(), sha256: hash.digest('hex') };
  });
}

function nameOf({ path }: ByteSource): string {
  if (path !== undefined) return basename(path);
  throw new StorageError('invalid-input', { what: 'name of the file', expected: 'a text' });
}

/**
 * Stores a manifest in a new file. An existing file is never replaced.
 *
 * Durability: once it resolves, the file survives a crash. An earlier crash leaves nothing or the complete file.
 *
 * @param path - of the sidecar; its name is usually that of `formatManifestName`
 * @throws StorageError `exists` if the name is taken; `aborted`, `sync-failed`, `io`, `not-found` (no such
 *   directory). Its `outcome` states what is on disk.
 */
export async function writeManifest(
  path: string,
  manifest: FileManifest,
  options: FileReadOptions = {},
): Promise<void> {
  checkText('path', path);
  checkFileManifest(manifest);
  checkFileOptions(options);
  const target = absolutePath(path);
  try {
    const temporary = await prepareManifest(target, manifest, options);
    await publishFilled(temporary, target, () => undefined);
  } catch (error) {
    throw withPath(withOutcome(error, 'not-applied'), path);
  }
}

/** A temporary file with the complete manifest, next to the target. Nothing is left if it fails. */
export async function prepareManifest(
  target: string,
  manifest: FileManifest,
  { openFiles, signal }: FileReadOptions,
): Promise<TemporaryFile> {
  const pathOf = (token: string): string =>
    pathIn(dirname(target), temporaryName(basename(target), token));
  const temporary = await createUnique(pathOf, { openFiles, signal });
  try {
    const out = new BufferedWriter(temporary.file, { signal });
    try {
      for (const piece of encodeManifest(manifest)) await out.append(piece);
      await out.finish();
    } finally {
      await out.abandon();
    }
    return temporary;
  } catch (error) {
    await Promise.allSettled([temporary.abandon()]);
    throw error;
  }
}

/**
 * Reads a manifest. Memory: four bytes for each block of its file.
 *
 * @param from - path of the sidecar, or a source of its bytes
 * @throws `corrupt`, `truncated`, `unsupported-version`, `too-large` for a damaged one; `not-found`, `io`, `aborted`,
 * and the errors of the source.
 */
export async function readManifest(
  from: FileInput,
  options: FileReadOptions = {},
): Promise<FileManifest> {
  checkFileOptions(options);
  return withSource(from, options, async (source) => {
    const decoder = new ManifestDecoder(source.path);
    for await (const piece of piecesOf(source, source.size, options.signal)) decoder.add(piece);
    return decoder.finish();
  });
}
