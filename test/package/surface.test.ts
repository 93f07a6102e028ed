/** The names that each entry exports: a change here is a change for everyone who imports them. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const ENTRIES = [
  'index',
  'virtual-file',
  'blob-writer',
  'layers',
  'write-once',
  'postgres',
  'object-store',
  'testing',
  'timeline',
];

describe.each(ENTRIES)('the entry %s', (entry) => {
  it('an entry of the package exports these names', async () => {
    const path = entry === 'index' ? '../../src/index.ts' : `../../src/entry/${entry}.ts`;
    const names = Object.keys(await import(path)).sort();
    expect(names).toMatchSnapshot();
  });
});

it('an entry of the package is named in the exports of package.json, with types', () => {
  const { exports } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  for (const entry of ENTRIES) {
    const subpath = entry === 'index' ? '.' : `./${entry}`;
    expect(exports[subpath]).toEqual({
      types: `./dist/${entry}.d.ts`,
      default: `./dist/${entry}.js`,
    });
  }
});
