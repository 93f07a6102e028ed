/**
 * The messages between a check and its threads, and the program of a thread, which reads the layers that it is sent.
 */
import type { MessagePort } from 'node:worker_threads';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import { objectSource } from '../object-store/object-source.ts';
import type { ObjectStore, StoreSettings } from '../object-store/object-store.ts';
import { reopenStore } from '../object-store/reopen-store.ts';
import { checkLayer, type LayerCheckResult, type LayerExpectation } from './layer-check.ts';
import {
  type LayerVerdict,
  type LayerVerification,
  verdictOf,
  type Watch,
} from './layer-verdict.ts';

/** Where a thread reads a layer: a path, or an object of a store that it opens itself. */
export type PlaceOnThread = string | { readonly settings: StoreSettings; readonly key: string };

/** What to do with a layer. */
export type LayerTask =
  | { readonly kind: 'check'; readonly expected: LayerExpectation }
  | { readonly kind: 'verify'; readonly verification: LayerVerification };

export type LayerAnswer =
  | { readonly kind: 'checked'; readonly result: LayerCheckResult }
  | { readonly kind: 'verified'; readonly verdict: LayerVerdict };

export interface LayerRequest {
  readonly id: number;
  readonly place: PlaceOnThread;
  readonly task: LayerTask;
}

export type LayerReply =
  | { readonly kind: 'ready' }
  | ({ readonly id: number } & LayerAnswer)
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string };

/** Performs a task, on any thread. Throws `aborted`; problems of the layer are part of the answer. */
export async function answerTask(
  task: LayerTask,
  open: () => Promise<LayerInput>,
  watch: Watch = {},
): Promise<LayerAnswer> {
  if (task.kind === 'check') {
    return { kind: 'checked', result: await checkLayer(open, task.expected, watch.signal) };
  }
  return { kind: 'verified', verdict: await verdictOf(open, task.verification, watch) };
}

/** Serves until the thread is terminated. */
export function serveLayerTasks(port: MessagePort): void {
  const stores = new Stores();
  const reply = (message: LayerReply): void => port.postMessage(message);
  port.on('message', async ({ id, place, task }: LayerRequest) => {
    try {
      reply({ id, ...(await answerTask(task, () => stores.input(place))) });
    } catch (error) {
      reply({ kind: 'failed', id, reason: String(error) });
    }
  });
  reply({ kind: 'ready' });
}

/** Each file of a web server may have its own store. */
const MAXIMUM_STORES = 64;

/** The stores that a thread has opened, by their settings. */
class Stores {
  readonly #stores = new Map<string, Promise<ObjectStore>>();

  async input(place: PlaceOnThread): Promise<LayerInput> {
    if (typeof place === 'string') return place;
    const name = JSON.stringify(place.settings);
    const store = this.#stores.get(name) ?? reopenStore(place.settings);
    this.#stores.delete(name);
    this.#stores.set(name, store);
    const [oldest] = this.#stores.keys();
    if (this.#stores.size > MAXIMUM_STORES && oldest !== undefined) this.#stores.delete(oldest);
    return objectSource(await store, place.key);
  }
}
