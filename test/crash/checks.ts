/** What must hold of a disk after a crash, and once its leftovers are removed. */
import { basename, dirname } from 'node:path';
import { loseEverything } from '../../src/testing/choices.ts';
import type { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import type { Allowed, Content } from './ledger.ts';
import type { Scenario } from './scenario.ts';

/** `*.___temp` and `ephemeral-` with hex digits, in the directories of the scenario. */
export function isLeftover(path: string, directories: readonly string[]): boolean {
  const name = basename(path);
  const isUnfinished = name.length > '.___temp'.length && name.endsWith('.___temp');
  return directories.includes(dirname(path)) && (isUnfinished || /^ephemeral-[\da-f]+$/.test(name));
}

/** Every name on the disk and what stands under it; not of links to directories. */
export type Files = ReadonlyMap<string, Uint8Array>;

export function filesOf(disk: MemoryFileSystem): Files {
  return disk.contents();
}

/**
 * Every file that must be there is, whole; there is nothing besides but leftovers.
 * Returns: the leftovers, in byte order.
 */
export function checkContents(
  files: Files,
  allowed: Allowed,
  directories: readonly string[],
): string[] {
  const leftovers = [...files.keys()].filter((path) => !allowed.has(path));
  const stranger = leftovers.find((path) => !isLeftover(path, directories));
  if (stranger !== undefined) throw new Error(`${stranger}: nobody made this file`);
  for (const [path, contents] of allowed) {
    const content = files.get(path);
    if (contents.some((one) => isSame(one, content))) continue;
    throw new Error(`${path}: found ${describe(content)}, may be ${contents.map(describe)}`);
  }
  return leftovers;
}

/**
 * Removes the leftovers, and nothing else: no file changes, and a crash brings none back. A link in
 * the place of a leftover is none.
 */
export async function checkRecovery(
  disk: MemoryFileSystem,
  files: Files,
  leftovers: readonly string[],
  directories: readonly string[],
): Promise<void> {
  const expected: string[] = [];
  for (const path of leftovers) {
    if ((await disk.stat(path)).kind === 'file') expected.push(path);
  }
  const openFiles = new OpenFiles({ fileSystem: disk });
  const removed: string[] = [];
  for (const directory of directories) {
    removed.push(...(await removeLeftovers(directory, { openFiles })));
  }
  checkEqual('removed', removed, expected);
  const kept = new Map([...files].filter(([path]) => !expected.includes(path)));
  checkSame(kept, disk);
  checkSame(kept, disk.crash(loseEverything));
  if (disk.openCount > 0) throw new Error(`still open: ${disk.openPaths}`);
}

/** A file that is there can be read as what it is. */
export async function checkReadable(
  disk: MemoryFileSystem,
  scenario: Scenario,
  paths: readonly string[],
): Promise<void> {
  const openFiles = new OpenFiles({ fileSystem: disk });
  for (const path of paths) await scenario.read(path, openFiles);
  if (disk.openCount > 0) throw new Error(`still open: ${disk.openPaths}`);
}

function checkSame(expected: Files, disk: MemoryFileSystem): void {
  const files = filesOf(disk);
  checkEqual('files', [...files.keys()], [...expected.keys()]);
  for (const [path, content] of expected) {
    if (!isSame(content, files.get(path))) throw new Error(`${path}: changed by the recovery`);
  }
}

function checkEqual(what: string, actual: readonly string[], expected: readonly string[]): void {
  if (actual.length === expected.length && actual.every((one, at) => one === expected[at])) return;
  throw new Error(`${what}: ${actual.join(' ')}, expected ${expected.join(' ')}`);
}

/** The one of the contents that was found; nothing if that is what was found. */
export function foundContent(found: Content, contents: readonly Content[]): Content {
  const content = contents.find((one) => isSame(one, found));
  if (found !== undefined && content === undefined) throw new Error('found what may not be');
  return content;
}

function isSame(left: Content, right: Content): boolean {
  if (left === undefined || right === undefined) return left === right;
  return left === right || Buffer.compare(left, right) === 0;
}

function describe(content: Content): string {
  return content === undefined ? 'nothing' : `${content.length} bytes`;
}
