/** Where the manifests of files and objects are: next to them, or together in another place. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isStorageError } from '../errors.ts';
import { kindOfName } from '../layers/find-layers.ts';
import {
  encodeManifest,
  type FileManifest,
  formatManifestName,
  parseManifestName,
} from '../manifest/manifest-format.ts';
import type { FileInput } from '../manifest/pieces.ts';
import { readManifest, writeManifest } from '../manifest/sidecar.ts';
import { directoryPrefix, type ObjectStore, pathOfObject } from '../object-store/object-store.ts';
import { nodeFileSystem } from '../virtual-file/node-file-system.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import { NamedPlaces } from './named-files.ts';
import { outputTarget, type RemoteOptions } from './remote-source.ts';

/** A file, or an object. */
export type FilePlace = string | { readonly store: ObjectStore; readonly key: string };

export class ManifestPlaces {
  readonly #files: NamedPlaces;
  readonly #directory:
    | string
    | { readonly store: ObjectStore; readonly prefix: string }
    | undefined;

  /** Throws `usage` for a place that is neither a directory nor a prefix. */
  static async create(
    directory: string | undefined,
    options: RemoteOptions,
  ): Promise<ManifestPlaces> {
    const files = new NamedPlaces(options);
    if (directory === undefined) return new ManifestPlaces(files, undefined);
    const target = await outputTarget(directory, options);
    if (typeof target === 'string') return new ManifestPlaces(files, target);
    // Names are placed below the prefix, whether or not it ends with a slash.
    const { store, prefix } = target;
    return new ManifestPlaces(files, { store, prefix: directoryPrefix(prefix) });
  }

  private constructor(
    files: NamedPlaces,
    directory: string | { readonly store: ObjectStore; readonly prefix: string } | undefined,
  ) {
    this.#files = files;
    this.#directory = directory;
  }

  /** The place of the file itself. Does no I/O. */
  fileAt(path: string): Promise<FilePlace> {
    return this.#files.placeOf(path);
  }

  /** The place of the manifest of a file. */
  manifestOf(file: FilePlace): FilePlace {
    const name = formatManifestName(nameOf(file));
    const directory = this.#directory;
    if (directory === undefined) {
      if (typeof file === 'string') return join(dirname(file), name);
      return { store: file.store, key: file.key.slice(0, file.key.lastIndexOf('/') + 1) + name };
    }
    if (typeof directory === 'string') return join(directory, name);
    return { store: directory.store, key: directory.prefix + name };
  }

  /**
   * The names of the layers whose manifests are in the common place; none if that does not exist, or if manifests are
   * next to their files. Throws errors of listing the place, and `too-large` for a bucket.
   */
  async layersWithManifest(signal: AbortSignal): Promise<Set<string>> {
    const layers = new Set<string>();
    for (const name of await this.#namesTogether(signal)) {
      const layer = kindOfName(name) === 'manifest' ? parseManifestName(name) : undefined;
      if (layer !== undefined) layers.add(layer);
    }
    return layers;
  }

  async #namesTogether(signal: AbortSignal): Promise<string[]> {
    const directory = this.#directory;
    if (directory === undefined) return [];
    if (typeof directory !== 'string') {
      const { store, prefix } = directory;
      const { listFiles } = await import('../timeline/list-files.ts');
      const files = await listFiles(store, prefix, { signal });
      return files.map(({ key }) => key.slice(prefix.length));
    }
    try {
      return (await nodeFileSystem.readDirectory(directory)).map(({ name }) => name);
    } catch (error) {
      if (isStorageError(error, 'not-found')) return [];
      throw error;
    }
  }
}

/** The last part of the path. */
export function nameOf(file: FilePlace): string {
  return typeof file === 'string' ? basename(file) : file.key.slice(file.key.lastIndexOf('/') + 1);
}

/** As shown in messages. */
export function pathOf(file: FilePlace): string {
  return typeof file === 'string' ? file : pathOfObject(file.store, file.key);
}

/** The path, or a source of the object, which takes one request. Throws as `objectSource`. */
export async function inputOf(file: FilePlace, signal: AbortSignal): Promise<FileInput> {
  if (typeof file === 'string') return file;
  const { objectSource } = await import('../object-store/object-source.ts');
  return objectSource(file.store, file.key, { signal });
}

/** Whether the file or object exists. Throws errors of looking it up. */
export async function isThere(file: FilePlace, signal: AbortSignal): Promise<boolean> {
  if (typeof file !== 'string') {
    return (await file.store.head(file.key, { signal })) !== undefined;
  }
  try {
    await stat(file);
    return true;
  } catch (error) {
    const failure = fromNodeError('look up file', file, error);
    if (isStorageError(failure, 'not-found')) return false;
    throw failure;
  }
}

/** Stores a manifest that must not exist. Throws as `writeManifest`, and as `ObjectStore.put`. */
export async function putManifest(
  place: FilePlace,
  manifest: FileManifest,
  signal: AbortSignal,
): Promise<void> {
  if (typeof place === 'string') return writeManifest(place, manifest, { signal });
  const bytes = Buffer.concat([...encodeManifest(manifest)]);
  await place.store.put(place.key, bytes, { ifAbsent: true, signal });
}

/** Throws as `readManifest`. */
export async function getManifest(place: FilePlace, signal: AbortSignal): Promise<FileManifest> {
  return readManifest(await inputOf(place, signal), { signal });
}
