/** The program of a thread that merges layers, started from its location. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { serveMerging } from '../reshape/merge-thread.ts';

assert(parentPort !== null, 'a merge starts this as a thread');
serveMerging(parentPort, workerData);
