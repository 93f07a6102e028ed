/** Arguments that are URLs: `s3://BUCKET/KEY`, `https://…`. */
import { StorageError } from '../errors.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { flag, type OptionValues } from './command.ts';

/** Options of every command that takes a URL. */
export const REMOTE_OPTIONS = {
  s3PathStyle: flag('--s3-path-style', 'bucket in the path of S3 URLs, not in the host name'),
};

export type RemoteOptions = OptionValues<typeof REMOTE_OPTIONS>;

/** A store, and the object or the prefix in it that a URL names. */
export interface RemotePlace {
  readonly store: ObjectStore;
  readonly key: string;
  /** A web server cannot. */
  readonly canList: boolean;
}

export function isUrl(text: string): boolean {
  return /^(s3|https?):\/\//i.test(text);
}

/** Throws `usage` for an `s3:` URL without a bucket, and as the stores. Does no I/O. */
export async function remotePlace(url: string, options: RemoteOptions): Promise<RemotePlace> {
  if (!/^s3:/i.test(url)) {
    const { httpObject } = await import('../object-store/http-store.ts');
    return { ...httpObject(url), canList: false };
  }
  const { bucket, key = '' } =
    /^s3:\/\/(?<bucket>[^/]+)(?:\/(?<key>.*))?$/is.exec(url)?.groups ?? {};
  if (bucket === undefined) {
    throw new StorageError('usage', { what: 'S3 URL', expected: 's3://BUCKET/KEY', actual: url });
  }
  const { s3Store } = await import('../object-store/s3-store.ts');
  const addressing = options.s3PathStyle ? 'path' : undefined;
  return { store: s3Store({ bucket, addressing }), key, canList: true };
}

/**
 * Whether an S3 URL means the objects below it: it ends with a slash, or there is no such object, but objects below
 * it. No request is made for a bucket, a slash at the end and the name of a layer. Throws as the store.
 */
export async function isPrefix(
  { store, key, canList }: RemotePlace,
  signal?: AbortSignal | undefined,
): Promise<boolean> {
  if (!canList) return false;
  if (key === '' || key.endsWith('/')) return true;
  const { isLayerKey } = await import('../timeline/timeline-layout.ts');
  if (isLayerKey(key.slice(key.lastIndexOf('/') + 1))) return false;
  if ((await store.head(key, { signal })) !== undefined) return false;
  for await (const _ of store.list(`${key}/`, { delimiter: '/', signal })) return true;
  return false;
}

/** The directory itself, or the prefix that an `s3:` URL names. Throws `usage` for a web server. */
export async function outputTarget(
  out: string,
  options: RemoteOptions,
): Promise<string | { readonly store: ObjectStore; readonly prefix: string }> {
  if (!isUrl(out)) return out;
  const { store, key, canList } = await remotePlace(out, options);
  if (canList) return { store, prefix: key };
  throw new StorageError('usage', {
    what: '--out',
    expected: 'a directory or s3://…',
    actual: out,
  });
}

/**
 * The path itself, or a source of the object of a URL, which takes one request.
 * Throws: `usage` for a URL that is not that of an object; the errors of `objectSource`.
 */
export async function layerInput(
  argument: string,
  options: RemoteOptions & { readonly signal?: AbortSignal | undefined },
): Promise<LayerInput> {
  if (!isUrl(argument)) return argument;
  const { store, key } = await remotePlace(argument, options);
  if (key === '' || key.endsWith('/')) {
    const what = 'URL of a layer';
    throw new StorageError('usage', { what, expected: 's3://BUCKET/KEY', actual: argument });
  }
  const { objectSource } = await import('../object-store/object-source.ts');
  return objectSource(store, key, { signal: options.signal });
}
