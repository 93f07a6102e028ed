/** The directory of every scenario, and files in it that are nobody's business. */

import { seededChoices } from '../../../src/testing/choices.ts';
import type { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import type { Ledger } from '../ledger.ts';
import { between, randomBytes } from '../scenario.ts';

export const DATA = '/data';

/** Where a scenario makes it, a symbolic link to the directory: another path to every file. */
export const ALIAS = '/alias';

export function withoutAlias(path: string): string {
  return path.startsWith(`${ALIAS}/`) ? DATA + path.slice(ALIAS.length) : path;
}

const NOTES = new TextEncoder().encode('nobody touches this');

/** Names that look like leftovers, or nearly, but are none. */
const FILES = [
  `${DATA}/keep`,
  `${DATA}/.___temp`,
  `${DATA}/keep.___temp.bak`,
  `${DATA}/ephemeral-zz`,
  `${DATA}/directory.___temp/inner.___temp`,
];
const LINK = `${DATA}/link.___temp`;

export function createBystanders(fileSystem: MemoryFileSystem, ledger: Ledger): void {
  fileSystem.createDirectory(DATA);
  fileSystem.createDirectory(`${DATA}/directory.___temp`);
  for (const path of FILES) {
    fileSystem.createFile(path, NOTES);
    ledger.settle(path, NOTES);
  }
  fileSystem.createSymbolicLink(LINK, 'keep');
  ledger.settle(LINK, NOTES);
}

/** What crashes before this one may have left. */
export function createLeftovers(fileSystem: MemoryFileSystem, seed: number): void {
  const random = seededChoices(seed);
  const names = ['metadata.___temp', 'ephemeral-3', 'ephemeral-00ff', '0-1__2.0.___temp'];
  for (const name of names) {
    if (random(2) === 0) continue;
    fileSystem.createFile(`${DATA}/${name}`, randomBytes(random, between(random, 0, 9000)));
  }
}
