/** The program of a thread that writes layers out, started from its location. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { serveWriteOut } from '../layers/ephemeral-layer/write-out-thread.ts';

assert(parentPort !== null, 'an ephemeral layer starts this as a thread');
serveWriteOut(parentPort);
