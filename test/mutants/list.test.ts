/**
 * The list of mutants (`npm run test:mutants` tries them) fits the code as it is now: a guard that
 * was moved or reworded must be found again, else its mutant would test nothing.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Mutant {
  readonly what: string;
  readonly find: string;
  readonly replace: string;
  readonly tests: readonly string[];
}

const list: Record<string, Mutant[]> = JSON.parse(
  readFileSync(join(ROOT, 'test/mutants/mutants.json'), 'utf8'),
);

test.each(Object.entries(list))('each mutant of %s changes one place', (file, mutants) => {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const unfit = mutants.filter(
    ({ find, replace }) => text.split(find).length !== 2 || find === replace,
  );
  expect(unfit.map(({ what }) => what)).toEqual([]);
});

test('the tests of each mutant exist', () => {
  const named = new Set(
    Object.values(list).flatMap((mutants) => mutants.flatMap(({ tests }) => tests)),
  );
  expect([...named].filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

test('no mutant has two entries, and there are more than enough', () => {
  const names = Object.entries(list).flatMap(([file, mutants]) =>
    mutants.map(({ what }) => `${file}: ${what}`),
  );
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThanOrEqual(60);
});
