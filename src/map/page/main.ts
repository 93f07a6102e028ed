/** The program of the page: decodes the embedded data, draws it, and handles input. */
import type { PageDescription } from '../page-data.ts';
import { App } from './app.ts';
import { byId } from './elements.ts';

async function start(): Promise<void> {
  const description: PageDescription = JSON.parse(byId('description').textContent ?? '');
  const app = new App(description, await inflate(byId('columns').textContent ?? ''));
  app.start();
  document.documentElement.dataset['state'] = 'ready';
}

/** Base64 of deflated bytes. */
async function inflate(text: string): Promise<ArrayBuffer> {
  const compressed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).arrayBuffer();
}

start().catch((error: unknown) => {
  const problem = byId('problem');
  problem.textContent = `This map cannot be drawn: ${String(error)}`;
  problem.hidden = false;
  document.documentElement.dataset['state'] = 'failed';
});
