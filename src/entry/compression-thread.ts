/**
 * `layerfile/compression-thread`, the program of a compression thread: a file of its own, which the
 * pool starts by its place. Nothing waits for it at the top level, so that it can be bundled as
 * CommonJS; a failure ends the thread.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { type CompressorChoice, serveCompression } from '../blob-writer/compression-thread.ts';

const first: CompressorChoice = workerData;

assert(parentPort !== null, 'the pool starts this as a thread');
void serveCompression(parentPort, first);
