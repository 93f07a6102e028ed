/** The messages between a check and its threads, and the program of a thread: it checks one file after the other. */
import type { MessagePort } from 'node:worker_threads';
import { checkLayerFile, type LayerCheckResult, type LayerExpectation } from './layer-check.ts';

export interface LayerCheckRequest {
  readonly id: number;
  readonly path: string;
  readonly expected: LayerExpectation;
}

export type LayerCheckReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'checked'; readonly id: number; readonly result: LayerCheckResult }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string };

/** Serves until the thread is terminated. */
export function serveLayerChecks(port: MessagePort): void {
  const reply = (message: LayerCheckReply): void => port.postMessage(message);
  port.on('message', async ({ id, path, expected }: LayerCheckRequest) => {
    try {
      reply({ kind: 'checked', id, result: await checkLayerFile(path, expected) });
    } catch (error) {
      reply({ kind: 'failed', id, reason: String(error) });
    }
  });
  reply({ kind: 'ready' });
}
