/**
 * As a thread, tells its owner. As a process with a path, begins to overwrite that file and never
 * ends it; without one, tells its owner and what it knows of others.
 */
import { parentPort } from 'node:worker_threads';
import { nodeFileSystem } from '../../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { systemOwners } from '../../../src/virtual-file/owners.ts';
import { overwriteFile } from '../../../src/write-once/overwrite.ts';

const path: string | null = JSON.parse(process.argv[2] ?? 'null');
const own = systemOwners.own();
setInterval(() => {}, 1000);

if (parentPort !== null) parentPort.postMessage(own);
else if (path === null) {
  const ofProcess = (number: number): string =>
    own.slice(0, 10) + number.toString(16).padStart(8, '0') + own.slice(18);
  const owners = [own, ofProcess(process.ppid), ofProcess(0x7fff_fff0), 'f'.repeat(28)];
  console.log(JSON.stringify({ own, states: owners.map((owner) => systemOwners.stateOf(owner)) }));
  process.exit();
} else {
  const rename = async (): Promise<void> => {
    console.log('written');
    await new Promise(() => {});
  };
  const openFiles = new OpenFiles({ fileSystem: { ...nodeFileSystem, rename } });
  await overwriteFile(path, 'never finished', { openFiles });
}
