/** A thread that opens files and, on request, closes them. */
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { nodeFileSystem } from '../../../src/virtual-file/node-file-system.ts';

const FILE_COUNT = 8;

const directory: string = workerData;
const files = await Promise.all(
  Array.from({ length: FILE_COUNT }, (_, n) =>
    nodeFileSystem.open(join(directory, String(n)), { write: true, createNew: true }),
  ),
);
parentPort?.on('message', () => {
  for (const file of files) void file.close();
  parentPort?.postMessage('closing');
});
parentPort?.postMessage('open');
