/** Processes that write in one directory at the same time, one of them killed again and again. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { seededChoices } from '../../src/testing/choices.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { leftoverName, ownerThat } from '../support/leftovers.ts';
import { bundledProgram, startProgram } from '../support/programs.ts';
import { rounds } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const ROUNDS = rounds(12);
/** If no kill before came in the middle of an overwrite. */
const MOST_ROUNDS = 60;
const WHOLE = /^([A-Z]\d+:)\1{2999}$/;

test('a process that overwrites a file while another one is killed: the file is complete, nothing is refused, no leftover stays', async () => {
  const program = await bundledProgram(new URL('programs/overwriting-process.ts', import.meta.url));
  const path = join(temporaryDirectory(), 'file');
  await overwriteFile(path, 'Z0:'.repeat(3000));
  const choose = seededChoices(1);
  let leftoverCount = 0;
  for (let round = 0; round < (leftoverCount > 0 ? ROUNDS : MOST_ROUNDS); round += 1) {
    const other = startProgram(program, { path, letter: 'B' });
    let acknowledged = 0;
    const lines = (async () => {
      for await (const line of other.lines) acknowledged = Number(line);
    })();
    while (acknowledged < 1 + choose(4)) {
      await overwriteFile(path, `A${round}:`.repeat(3000));
      expect(readFileSync(path, 'utf8')).toMatch(WHOLE);
    }
    other.child.kill('SIGKILL');
    await Promise.all([other.ended, lines]);
    leftoverCount += readdirSync(join(path, '..')).length - 1;
    const found = readFileSync(path, 'utf8');
    expect(found).toMatch(WHOLE);
    // What it had acknowledged last, or later ones.
    const version = Number(/^B(\d+):/.exec(found)?.[1] ?? acknowledged);
    expect(version).toBeGreaterThanOrEqual(acknowledged);
    await overwriteFile(path, `A${round}:`.repeat(3000));
    expect(readdirSync(join(path, '..'))).toEqual(['file']);
  }
  expect(leftoverCount).toBeGreaterThan(0);
});

test('removing leftovers during writes of another process removes the files of ended processes, and none of its own', async () => {
  const program = await bundledProgram(new URL('programs/slow-writer.ts', import.meta.url));
  const directory = temporaryDirectory();
  const dead = startProgram(program, directory);
  for await (const _ of dead.lines) break;
  dead.child.kill('SIGKILL');
  await dead.ended;
  const left = readdirSync(directory);
  expect(left).toHaveLength(3);
  const writer = startProgram(program, directory);
  const lines = writer.lines[Symbol.asyncIterator]();
  await lines.next();
  const written = readdirSync(directory).filter((name) => !left.includes(name));
  expect(written).toHaveLength(3);
  const removed = await removeLeftovers(directory);
  // Its overwrite has taken away some of the dead one's before.
  expect(removed.every((path) => !written.some((name) => path.endsWith(name)))).toBe(true);
  expect(readdirSync(directory).sort()).toEqual(written.sort());
  writer.child.kill('SIGUSR2');
  const { value } = await lines.next();
  expect((await writer.ended).status).toBe(0);
  expect(readdirSync(directory)).toEqual([JSON.parse(value), 'file']);
});

test('two copies of the package in one process overwrite one file: nothing is refused, no leftover stays', async () => {
  const program = await bundledProgram(new URL('programs/overwriting-process.ts', import.meta.url));
  const copies: { overwriteFile: typeof overwriteFile }[] = [];
  for (const copy of [1, 2]) copies.push(await import(`${pathToFileURL(program)}?${copy}`));
  expect(copies[0]?.overwriteFile).not.toBe(copies[1]?.overwriteFile);
  const path = join(temporaryDirectory(), 'file');
  await Promise.all(
    copies.map(async (library, copy) => {
      for (let version = 0; version < 100; version += 1) {
        await library.overwriteFile(path, `${'AB'[copy]}${version}:`.repeat(3000));
        expect(readFileSync(path, 'utf8')).toMatch(WHOLE);
      }
    }),
  );
  expect(readdirSync(join(path, '..'))).toEqual(['file']);
});

test('a temporary file of another container stays until leftovers are removed', async () => {
  const directory = temporaryDirectory();
  const name = leftoverName('file', ownerThat('unknown', {}));
  writeFileSync(join(directory, name), 'half');
  await overwriteFile(join(directory, 'file'), 'new');
  expect(readdirSync(directory)).toContain(name);
  expect(await removeLeftovers(directory)).toEqual([join(directory, name)]);
});
