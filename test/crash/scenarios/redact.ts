/** A layer without its data is made of another one, which stays as it is. */
import { basename } from 'node:path';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { redactLayer } from '../../../src/reshape/redact/redact-layer.ts';
import type { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import type { Ledger } from '../ledger.ts';
import type { MakeScenario } from '../scenario.ts';
import { DATA } from './bystanders.ts';
import { deltaWrite, imageWrite, type Write, writing, written } from './layers.ts';

export const redacted: MakeScenario = async (random) => {
  const make = random(2) === 0 ? deltaWrite : imageWrite;
  const { path: originalPath, content } = await written(make(random));
  const path = `/original/${basename(originalPath)}`;
  const create = (fileSystem: MemoryFileSystem, ledger: Ledger): void => {
    fileSystem.createDirectory('/original');
    fileSystem.createFile(path, content);
    ledger.settle(path, content);
  };
  const write: Write = async ({ openFiles, signal }) => {
    const reader = await openLayer(path, { openFiles, signal });
    return {
      finish: () => redactLayer(reader, { directory: DATA, openFiles, signal }),
      close: () => reader.close(),
    };
  };
  const layer = await written(write, create);
  return writing('redact', random, write, layer, { create });
};
