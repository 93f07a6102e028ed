/** A salvage of a layer whose summary is gone: all of its entries are there again, under its name. */
import { basename } from 'node:path';
import { salvageLayer } from '../../../src/reshape/salvage/salvage-layer.ts';
import type { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { IDS } from '../../support/layers.ts';
import type { Ledger } from '../ledger.ts';
import type { MakeScenario } from '../scenario.ts';
import { DATA } from './bystanders.ts';
import { deltaWrite, imageWrite, type Write, writing, written } from './layers.ts';

const BLOCK = 8192;

export const salvaged: MakeScenario = async (random) => {
  const make = random(2) === 0 ? deltaWrite : imageWrite;
  const original = await written(make(random));
  const content = Uint8Array.from(original.content).fill(0, 0, BLOCK);
  const path = `/damaged/${basename(original.path)}`;
  const create = (fileSystem: MemoryFileSystem, ledger: Ledger): void => {
    fileSystem.createDirectory('/damaged');
    fileSystem.createFile(path, content);
    ledger.settle(path, content);
  };
  const write: Write = async ({ openFiles, signal }) => ({
    finish: async () => {
      const { layer, lostCount } = await salvageLayer(path, {
        ...{ directory: DATA, ...IDS, openFiles, signal },
        readOptions: { openFiles, signal },
      });
      if (layer === undefined || lostCount > 0) throw new Error('some of the layer is lost');
      return layer;
    },
    close: async () => {},
  });
  const layer = await written(write, create);
  // All of it happens in its `finish`: there is nothing that could be given up before.
  return writing('salvage', random, write, layer, { create, end: 'finish' });
};
