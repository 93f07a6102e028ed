/** Has an unfinished layer, a scratch file and an overwrite in a directory; ends them on request. */
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { nodeFileSystem } from '../../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { overwriteFile } from '../../../src/write-once/overwrite.ts';
import { blockKey, IDS, KEY_RANGE, LSN_RANGE } from '../../support/layers.ts';

const directory: string = JSON.parse(process.argv[2] ?? '""');
const alive = setInterval(() => {}, 1000);
const told = new Promise<void>((resolve) => process.once('SIGUSR2', () => resolve()));
const value = { type: 'image', bytes: new Uint8Array(9000) } as const;

const ephemeral = await EphemeralLayer.create({ directory, ...IDS, startLsn: LSN_RANGE.start });
await ephemeral.put(blockKey(1), LSN_RANGE.start, value);
const ranges = { keyRange: KEY_RANGE, lsnRange: LSN_RANGE };
const writer = await DeltaLayerWriter.create({ directory, ...IDS, ...ranges, bufferSize: 4096 });
for (let block = 1; block < 9; block += 1)
  await writer.put(blockKey(block), LSN_RANGE.start, value);
const rename = async (source: string, target: string): Promise<void> => {
  console.log('ready');
  await told;
  await nodeFileSystem.rename(source, target);
};
const openFiles = new OpenFiles({ fileSystem: { ...nodeFileSystem, rename } });
await overwriteFile(`${directory}/file`, 'new', { openFiles });
const { name } = await writer.finish();
await ephemeral.close();
clearInterval(alive);
console.log(JSON.stringify(name));
