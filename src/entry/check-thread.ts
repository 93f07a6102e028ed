/** The program of a thread that checks and verifies layers, started from its location. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { serveLayerTasks } from '../timeline/check-thread.ts';

assert(parentPort !== null, 'a check starts this as a thread');
serveLayerTasks(parentPort);
