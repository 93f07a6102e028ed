/** The program of a thread that checks layers, which a check starts by its place. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { serveLayerChecks } from '../timeline/check-thread.ts';

assert(parentPort !== null, 'a check starts this as a thread');
serveLayerChecks(parentPort);
