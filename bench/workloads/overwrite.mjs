/** A small file that is replaced repeatedly, durable each time. */
import { readFileSync, writeFileSync } from 'node:fs';
import { overwriteFile } from '../../dist/write-once.js';
import { overwriteByHand, overwriteWithLooks } from '../floors/overwrite-by-hand.mjs';
import { check } from '../harness/row-context.mjs';
import { randomBytes } from '../inputs/random.mjs';
import { loadWriteFileAtomic } from '../peers/write-file-atomic.mjs';

const COUNT = 2000;
const LENGTHS = [512, 65_536];

export function groupsOf({ scaled }) {
  const count = scaled(COUNT);
  return LENGTHS.map((length) => {
    const size = { count, length };
    return {
      title: `overwrite: ${count.toLocaleString('en-US')} times ${length.toLocaleString('en-US')} bytes`,
      rows: [
        row(size, 'floor', 'floor: the calls that it takes', 'floor', () => overwriteByHand),
        row(size, 'peer', 'by hand, looks included', 'by hand', () => overwriteWithLooks),
        row(size, 'layerfile', 'layerfile overwriteFile', undefined, () => overwriteFile),
        row(
          size,
          'peer',
          'write-file-atomic, directory unsynced',
          'write-file-atomic',
          loadWriteFileAtomic,
        ),
      ],
    };
  });
}

function row({ count, length }, role, name, shortName, load) {
  return {
    role,
    name,
    shortName,
    async measure(context) {
      const overwrite = await load();
      const path = `${context.directory}/file`;
      const contents = [1, 2, 3].map((seed) => randomBytes(length, seed));
      writeFileSync(path, '');
      await context.time(async () => {
        for (let index = 0; index < count; index += 1) {
          await overwrite(path, contents[index % contents.length]);
        }
      });
      const last = contents[(count - 1) % contents.length];
      check(Buffer.compare(readFileSync(path), last), 0, 'the last content');
      return { operations: count, bytes: count * length };
    },
  };
}
