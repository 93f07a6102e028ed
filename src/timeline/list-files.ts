/** Lists the files directly below a prefix, up to a limit, because a listing may be endless. */
import { tooLarge } from '../errors.ts';
import {
  isCommonPrefix,
  type ObjectInfo,
  type ObjectStore,
  pathOfObject,
} from '../object-store/object-store.ts';
import { MAXIMUM_LAYERS } from './layer-map/layer-table.ts';

export interface ListFilesOptions {
  /** More files are refused. Default: 2,097,152, the layers that a map takes. */
  readonly maximumFiles?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * In byte order of their keys; deeper levels are left out. Throws `too-large` above the limit, and as the store.
 */
export async function listFiles(
  store: ObjectStore,
  prefix: string,
  { maximumFiles = MAXIMUM_LAYERS, signal }: ListFilesOptions = {},
): Promise<ObjectInfo[]> {
  const files: ObjectInfo[] = [];
  for await (const item of store.list(prefix, { delimiter: '/', signal })) {
    if (isCommonPrefix(item)) continue;
    if (files.length === maximumFiles) {
      const path = pathOfObject(store, prefix);
      throw tooLarge('listing of a timeline', { maximum: maximumFiles, unit: 'files', path });
    }
    files.push(item);
  }
  return files;
}
