/** The program of a compression thread: a file of its own, which the pool starts by its place. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { type CompressorChoice, serveCompression } from '../blob-writer/compression-thread.ts';

const first: CompressorChoice = workerData;

assert(parentPort !== null, 'the pool starts this as a thread');
await serveCompression(parentPort, first);
