/** A thread that overwrites a file with its own byte, as often as requested, and reports errors. */
import { parentPort, workerData } from 'node:worker_threads';
import { overwriteFile } from '../../../src/write-once/overwrite.ts';

export interface OverwritingThreadInput {
  readonly path: string;
  readonly byte: number;
  readonly length: number;
  readonly count: number;
}

const { path, byte, length, count }: OverwritingThreadInput = workerData;
const errors: string[] = [];
for (let round = 0; round < count; round += 1) {
  try {
    await overwriteFile(path, new Uint8Array(length).fill(byte));
  } catch (error) {
    errors.push(String(error));
  }
}
parentPort?.postMessage(errors);
