/** Makes the manifest of one file or object. */
import { StorageError } from '../errors.ts';
import { makeManifest } from '../manifest/sidecar.ts';
import { inputOf, isThere, nameOf, pathOf, putManifest } from './manifest-places.ts';
import type { ManifestRun, RunFile } from './manifest-run.ts';

/** A manifest that was written. */
export interface CreatedManifest {
  /** Of the file. */
  readonly path: string;
  /** Of its manifest. */
  readonly manifest: string;
  readonly bytes: number;
  readonly blocks: number;
  readonly sha256: string;
}

/**
 * Returns undefined for a file that is lost, or that already has a manifest and may be skipped. Throws `exists`, errors
 * of reading the file, and as `writeManifest`.
 */
export async function createManifest(
  { places, signal }: ManifestRun,
  { kind, path }: RunFile,
  { skip }: { readonly skip: boolean },
): Promise<CreatedManifest | undefined> {
  if (kind === 'lost') return undefined;
  const file = await places.fileAt(path);
  const place = places.manifestOf(file);
  // Looked up before the file is read; the write itself replaces nothing.
  if (await isThere(place, signal)) {
    if (skip) return undefined;
    throw new StorageError('exists', { what: 'manifest already exists', path: pathOf(place) });
  }
  const name = nameOf(file);
  const manifest = await makeManifest(await inputOf(file, signal), { name, signal });
  await putManifest(place, manifest, signal);
  const { length, checksums, sha256 } = manifest;
  return { path, manifest: pathOf(place), bytes: length, blocks: checksums.length, sha256 };
}
