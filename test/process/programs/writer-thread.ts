/** A thread that writes until it is terminated. */
import { parentPort, workerData } from 'node:worker_threads';
import { type WriterInput, write } from '../writing.ts';

const input: WriterInput = workerData;

await write(input, (message) => parentPort?.postMessage(message));
