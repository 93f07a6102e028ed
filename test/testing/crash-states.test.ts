import { describe, expect, test } from 'vitest';
import { everyChoice, seededChoices } from '../../src/testing/choices.ts';
import { crashStates, replayCrash } from '../../src/testing/crash-states.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

/** A disk with this number of files whose names may or may not survive. */
async function diskWithFiles(count: number): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem();
  for (let file = 0; file < count; file += 1) {
    await (await disk.open(`/${file}`, { write: true, createNew: true })).close();
  }
  return disk;
}

function namesOf(states: Iterable<{ readonly disk: MemoryFileSystem }>): string[] {
  return [...states].map(({ disk }) => disk.paths().join(' '));
}

describe('the states of a crash', () => {
  test('the states of a crash are all different and complete where they are few', async () => {
    const names = namesOf(crashStates(await diskWithFiles(8)));
    expect(names.length).toBe(256);
    expect(new Set(names).size).toBe(256);
  });

  test('the states of a crash are one where everything is durable', () => {
    expect([...crashStates(new MemoryFileSystem())]).toMatchObject([{ choices: [] }]);
  });

  test('the states of a crash are the newest, the durable one and a sample where they are many', async () => {
    const disk = await diskWithFiles(9);
    const names = namesOf(crashStates(disk));
    expect(names.length).toBe(256);
    expect(names.slice(0, 2)).toEqual([disk.paths().join(' '), '']);
    expect(new Set(names).size).toBeGreaterThan(50);
    const lengths = names.map((name) => (name === '' ? 0 : name.split(' ').length));
    expect(lengths).toEqual(expect.arrayContaining([1, 8]));
  });

  test('the states of a crash are no more than the limit', async () => {
    const disk = await diskWithFiles(3);
    expect(namesOf(crashStates(disk, { limit: 8 })).length).toBe(8);
    expect(namesOf(crashStates(disk, { limit: 7 }))).toHaveLength(7);
    expect(namesOf(crashStates(disk, { limit: 1 }))).toEqual(['/0 /1 /2']);
  });

  test('the states of a crash are the same ones in every run, unless another source is given', async () => {
    const disk = await diskWithFiles(20);
    const names = namesOf(crashStates(disk));
    expect(namesOf(crashStates(disk))).toEqual(names);
    expect(namesOf(crashStates(disk, { random: seededChoices(2) }))).not.toEqual(names);
  });

  test('the states of a crash leave the file system as it is', async () => {
    const disk = await diskWithFiles(3);
    namesOf(crashStates(disk));
    expect(disk.paths()).toEqual(['/0', '/1', '/2']);
    expect(disk.countCrashStates()).toBe(8n);
  });

  test.each([0, -1, 1.5, Number.NaN])(
    'the states of a crash are refused for a limit of %s',
    (limit) => {
      const error = storageErrorThrownBy(() => crashStates(new MemoryFileSystem(), { limit }));
      expect(error).toMatchObject({ code: 'invalid-input' });
    },
  );
});

test('a state is found again by its choices', async () => {
  const disk = await diskWithFiles(10);
  for (const state of crashStates(disk, { limit: 40 })) {
    const again = replayCrash(disk, state.choices);
    expect(again.choices).toEqual(state.choices);
    expect(again.disk.paths()).toEqual(state.disk.paths());
  }
});

test('choices that are missing keep the durable state', async () => {
  expect(replayCrash(await diskWithFiles(3), [1]).disk.paths()).toEqual(['/0']);
});

test('every combination of choices comes once, also if one choice decides whether another is made', () => {
  const seen: number[][] = [];
  for (const choose of everyChoice()) {
    const first = choose(3);
    seen.push(first === 1 ? [first, choose(2), choose(2)] : [first]);
  }
  expect(seen).toEqual([[0], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1], [2]]);
});
