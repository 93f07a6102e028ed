/** The layers that `verify` reads: the given paths and URLs, and the layers below directories and S3 prefixes. */
import { type FoundFile, findLayers, isDirectory, kindOfName } from '../layers/find-layers.ts';
import { isPrefix, isUrl, type RemoteOptions, remotePlace } from './remote-source.ts';

/** In the order of the arguments; objects below a prefix in byte order of their keys. */
export async function* foundLayers(
  paths: readonly string[],
  options: RemoteOptions,
  signal: AbortSignal,
): AsyncGenerator<FoundFile> {
  for (const path of paths) {
    if (isUrl(path)) yield* foundObjects(path, options, signal);
    else yield* findLayers([path]);
  }
}

/** Whether to search for layers below a path or URL, instead of treating it as a layer. Throws as the store. */
export async function isSearched(
  path: string,
  options: RemoteOptions,
  signal: AbortSignal,
): Promise<boolean> {
  return isUrl(path) ? isPrefix(await remotePlace(path, options), signal) : isDirectory(path);
}

async function* foundObjects(
  url: string,
  options: RemoteOptions,
  signal: AbortSignal,
): AsyncGenerator<FoundFile> {
  const place = await remotePlace(url, options);
  if (!(await isPrefix(place, signal))) {
    yield { kind: 'layer', path: url };
    return;
  }
  const { store, key } = place;
  const { directoryPrefix, pathOfObject } = await import('../object-store/object-store.ts');
  for await (const item of store.list(directoryPrefix(key), { signal })) {
    if (!('key' in item)) continue;
    const kind = kindOfName(item.key.slice(item.key.lastIndexOf('/') + 1));
    yield { kind, path: pathOfObject(store, item.key) };
  }
}
