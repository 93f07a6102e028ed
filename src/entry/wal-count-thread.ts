/** The program of a thread that counts records of WAL, started by its place. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { serveCounting } from '../wal/count-thread.ts';

assert(parentPort !== null, 'a count starts this as a thread');
serveCounting(parentPort);
