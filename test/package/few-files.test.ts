/** The files of the built package that an entry loads; each of them takes time to find, read and link. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const DIST = new URL('../../dist/', import.meta.url);
const IMPORT = /^(?:import|export)\b[^"'\n;]*["'](?<path>\.\/[^"']+)["'];$/gm;

/** The file and all that it imports statically, by name. */
function filesOf(name: string, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  const code = readFileSync(new URL(name, DIST), 'utf8').replaceAll(/\{[^{}]*\}/g, '');
  for (const { groups } of code.matchAll(IMPORT)) filesOf(groups?.['path']?.slice(2) ?? '', found);
  return found;
}

test.each([
  ['layers.js', 9],
  ['blob-writer.js', 8],
  ['virtual-file.js', 4],
  ['write-once.js', 9],
  ['compression-thread.js', 4],
])('%s of the built package loads at most %i files', (name, maximum) => {
  expect([...filesOf(name)].length).toBeLessThanOrEqual(maximum);
});

test('the layers need no package that is not part of Node, until they compress', () => {
  const packages = [...filesOf('layers.js')].flatMap((name) =>
    [
      ...readFileSync(new URL(name, DIST), 'utf8').matchAll(/^import\b[^;]*?["']([^"']+)["'];$/gm),
    ].map(([, path]) => path),
  );
  expect(packages.filter((path) => !path?.startsWith('./') && !path?.startsWith('node:'))).toEqual(
    [],
  );
});
