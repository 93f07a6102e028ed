/** Files and objects that are listed by name: `--files-from`, and the place of each name. */
import { StorageError } from '../errors.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { isOfShard, type WorkShare } from '../timeline/work-share.ts';
import type { Context } from './context.ts';
import { isUrl, type RemoteOptions, remotePlace } from './remote-source.ts';
import { textLines } from './text-lines.ts';

/**
 * The lines that are not empty, limited to a share if there is one. Throws as `textLines`; `usage` for a terminal.
 */
export async function* namedFiles(
  context: Context,
  file: string,
  share: WorkShare | undefined,
): AsyncGenerator<string> {
  if (file === '-' && context.stdinIsTerminal) {
    throw new StorageError('usage', { what: 'standard input is a terminal: pipe names into it' });
  }
  for await (const line of textLines(file, context)) {
    const name = line.replace(/\r$/, '');
    if (name !== '' && (share === undefined || isOfShard(name, share))) yield name;
  }
}

/** The places of URLs and paths. One store serves all objects of a bucket. */
export class NamedPlaces {
  readonly #options: RemoteOptions;
  readonly #stores = new Map<string, ObjectStore>();

  constructor(options: RemoteOptions) {
    this.#options = options;
  }

  /** Does no I/O. Throws `usage` and `invalid-input` for a URL that is not that of an object. */
  async placeOf(name: string): Promise<string | { store: ObjectStore; key: string }> {
    if (!isUrl(name)) return name;
    const { store, key, canList } = await remotePlace(name, this.#options);
    if (!canList) return { store, key };
    const known = this.#stores.get(store.name) ?? store;
    this.#stores.set(store.name, known);
    return { store: known, key };
  }
}
