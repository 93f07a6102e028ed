/** Files and objects that are named one by one: `--files-from`, and what each name is read from. */
import { StorageError } from '../errors.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { isOfShard, type WorkShare } from '../timeline/work-share.ts';
import type { Context } from './context.ts';
import { isUrl, type RemoteOptions, remotePlace } from './remote-source.ts';
import { textLines } from './text-lines.ts';

/** The lines that are not empty; of a share if there is one. Throws as `textLines`; `usage` for a terminal. */
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

/** Opens URLs and paths. One store serves all objects of a bucket or of a web server. */
export class NamedInputs {
  readonly #options: RemoteOptions;
  readonly #signal: AbortSignal;
  readonly #stores = new Map<string, ObjectStore>();

  constructor(options: RemoteOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  /** Throws as the store. A path is opened by its reader. */
  async open(name: string): Promise<LayerInput> {
    if (!isUrl(name)) return name;
    const { objectSource } = await import('../object-store/object-source.ts');
    const { store, key, canList } = await remotePlace(name, this.#options);
    if (!canList) return objectSource(store, key, { signal: this.#signal });
    const known = this.#stores.get(store.name) ?? store;
    this.#stores.set(store.name, known);
    return objectSource(known, key, { signal: this.#signal });
  }
}
