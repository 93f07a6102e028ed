/** Compares one file or object with its manifest, and writes a repaired copy if requested. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isStorageError, StorageError } from '../errors.ts';
import { isDamage } from '../layers/damage.ts';
import { checkManifest } from '../manifest/check-manifest.ts';
import type { FileManifest } from '../manifest/manifest-format.ts';
import { mendFile } from '../manifest/mend.ts';
import type { FileInput } from '../manifest/pieces.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import { CLEAN, type ExitStatus, FINDINGS, statusOfCode } from './exit-status.ts';
import { getManifest, inputOf, nameOf, pathOf } from './manifest-places.ts';
import type { ManifestRun, RunFile } from './manifest-run.ts';
import { isSameFile } from './output-paths.ts';
import type { FileReport } from './report-writer.ts';

export interface CheckedFile {
  readonly report: FileReport;
  readonly status: ExitStatus;
  /** Why a repaired copy could not be written. */
  readonly failure?: StorageError | undefined;
}

/** How a file is checked. */
export interface CheckFileOptions {
  /** Directory of repaired copies. */
  readonly mend: string | undefined;
  readonly maximumFindings: number | undefined;
}

/**
 * Throws errors that prevent reading the file or its manifest, and `usage` if its repaired copy would be the file
 * itself. A missing or damaged manifest is a finding.
 */
export async function checkFile(
  { places, signal }: ManifestRun,
  { kind, path }: RunFile,
  { mend, maximumFindings }: CheckFileOptions,
): Promise<CheckedFile> {
  const file = await places.fileAt(path);
  const place = places.manifestOf(file);
  if (kind === 'lost') {
    const message = `no file, only its manifest ${pathOf(place)}`;
    return unchecked(path, { code: 'not-found', message, bytes: 0 });
  }
  const input = await inputOf(file, signal);
  const target = mend === undefined ? undefined : join(mend, nameOf(file));
  if (typeof input === 'string' && target !== undefined && (await isSameFile(input, target))) {
    throw new StorageError('usage', {
      what: 'the repaired copy would be the file itself: choose another directory for --mend',
      path: target,
    });
  }
  const bytes = await sizeOf(input);
  let manifest: FileManifest;
  try {
    manifest = await getManifest(place, signal);
  } catch (error) {
    if (!isDamage(error) && !isStorageError(error, 'not-found')) throw error;
    const isMissing = error.code === 'not-found';
    const message = isMissing ? `no manifest: expected ${pathOf(place)}` : error.message;
    return unchecked(path, { code: error.code, message, bytes });
  }
  const found = await checkManifest(input, manifest, { signal, maximumFindings });
  const report = { ...found, path, warnings: 0 };
  if (found.ok) return { report, status: CLEAN };
  if (target === undefined || found.bytes < manifest.length) return { report, status: FINDINGS };
  try {
    const mended = await mendFile(await inputOf(file, signal), manifest, target, { signal });
    return { report: { ...report, mended: mended.path }, status: FINDINGS };
  } catch (error) {
    // More has changed than can be repaired, as the findings show.
    if (isStorageError(error, 'corrupt')) return { report, status: FINDINGS };
    if (!isStorageError(error) || isStorageError(error, 'aborted')) throw error;
    return { report, status: FINDINGS, failure: error };
  }
}

/** The report of a file that could not be compared, with its one finding. */
function unchecked(
  path: string,
  { code, message, bytes }: Pick<StorageError, 'code' | 'message'> & { readonly bytes: number },
): CheckedFile {
  const finding = { severity: 'error' as const, code, message, offset: 0 };
  const report = { path, ok: false, bytes, findings: [finding], errors: 1, warnings: 0 };
  return { report, status: code === 'not-found' ? FINDINGS : statusOfCode(code) };
}

/** Throws `not-found` and `io` for a path, as for an object when its source is made. */
async function sizeOf(input: FileInput): Promise<number> {
  if (typeof input !== 'string') return input.size;
  const found = await stat(input).catch((error: unknown) => {
    throw fromNodeError('look up file', input, error);
  });
  if (found.isFile()) return found.size;
  throw new StorageError('io', {
    ...{ what: 'file to check', path: input, expected: 'a regular file' },
    actual: found.isDirectory() ? 'a directory' : 'a special file',
  });
}
