/** Finds layer files: the paths that are given, and the layers below those that are directories. */
import { stat } from 'node:fs/promises';
import { isNativeError } from 'node:util/types';
import { isStorageError, type StorageError } from '../errors.ts';
import { parseManifestName } from '../manifest/manifest-format.ts';
import type { DirectoryEntry } from '../virtual-file/file-system.ts';
import { nodeFileSystem } from '../virtual-file/node-file-system.ts';
import { parseLayerName } from './layer-name.ts';
import { isTemporaryName } from './temporary-names.ts';
import { DOWNLOAD_SUFFIX } from './unfinished-name.ts';

export type FoundFile =
  | { readonly kind: 'layer'; readonly path: string }
  /** Left by a writer that did not finish. */
  | { readonly kind: 'temporary'; readonly path: string }
  /** A pageserver's download that did not finish. */
  | { readonly kind: 'download'; readonly path: string }
  /** The sidecar of a layer. */
  | { readonly kind: 'manifest'; readonly path: string }
  /** A symbolic link to a directory, which is not followed. */
  | { readonly kind: 'directory-link'; readonly path: string }
  /** Neither a directory nor the name of a layer. */
  | { readonly kind: 'other'; readonly path: string }
  | { readonly kind: 'failed'; readonly path: string; readonly error: StorageError };

/** Yields files in the order of the paths; below a directory depth first, in byte order of names. */
export async function* findLayers(
  paths: readonly string[],
): AsyncGenerator<FoundFile, void, undefined> {
  for (const path of paths) {
    if (await isDirectory(path)) yield* findBelow(path);
    else yield { kind: 'layer', path };
  }
}

async function* findBelow(directory: string): AsyncGenerator<FoundFile, void, undefined> {
  const entries = await listDirectory(directory);
  if ('error' in entries) {
    yield { kind: 'failed', path: directory, error: entries.error };
    return;
  }
  for (const entry of entries.list) {
    const path = directory.endsWith('/') ? directory + entry.name : `${directory}/${entry.name}`;
    if (entry.kind === 'directory') yield* findBelow(path);
    else yield { kind: await kindOf(entry, path), path };
  }
}

type FileKind = Exclude<FoundFile['kind'], 'failed'>;

/**
 * A FIFO or a dangling link with the name of a layer counts as a layer, so that the failure to read
 * it is reported.
 */
async function kindOf({ name, kind }: DirectoryEntry, path: string): Promise<FileKind> {
  const named = kindOfName(name);
  const isUnfinished = named === 'download' || named === 'temporary';
  if (!isUnfinished && kind === 'symbolic-link' && (await isDirectory(path))) {
    return 'directory-link';
  }
  return named;
}

/** The kind of a file according to its name, without its directory. */
export function kindOfName(name: string): Exclude<FileKind, 'directory-link'> {
  if (name.endsWith(DOWNLOAD_SUFFIX)) return 'download';
  if (isTemporaryName(name)) return 'temporary';
  const manifestOf = parseManifestName(name);
  if (manifestOf !== undefined && isLayerName(manifestOf)) return 'manifest';
  return isLayerName(name) ? 'layer' : 'other';
}

function isLayerName(name: string): boolean {
  try {
    parseLayerName(name);
    return true;
  } catch (error) {
    // A name that fits both kinds of layer is the name of a layer.
    if (isStorageError(error)) return error.code === 'ambiguous-name';
    throw error;
  }
}

/** Follows links. False for a path that cannot be looked up: opening it reports why. */
export async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isNativeError(error)) return false;
    throw error;
  }
}

async function listDirectory(
  directory: string,
): Promise<{ list: DirectoryEntry[] } | { error: StorageError }> {
  try {
    return { list: await nodeFileSystem.readDirectory(directory) };
  } catch (error) {
    if (isStorageError(error)) return { error };
    throw error;
  }
}
