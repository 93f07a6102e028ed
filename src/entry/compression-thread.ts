/**
 * `layerfile/compression-thread`, the program of a compression thread: a separate file, which the pool starts by its
 * location. There is no top-level await, so that it can be bundled as CommonJS; a failure ends the thread.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { type CompressorChoice, serveCompression } from '../blob-writer/compression-thread.ts';

const first: CompressorChoice = workerData;

assert(parentPort !== null, 'the pool starts this as a thread');
void serveCompression(parentPort, first);
