/** The names of classes in the built package, as stacks and `console.log` show them. */
import { readdirSync, readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';

const DIST = new URL('../../dist/', import.meta.url);
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
  'wal',
  'ingest',
  'reshape',
];

describe.each(ENTRIES)('the built entry %s', (entry) => {
  test('a built entry exports its classes under the names that they have', async () => {
    const exported: Record<string, unknown> = await import(new URL(`${entry}.js`, DIST).href);
    const classes = Object.entries(exported).filter(([, value]) => isClass(value));
    const shown = classes.map(([, value]) => /^\[class (\w+)/.exec(inspect(value))?.[1]);
    expect(shown).toEqual(classes.map(([name]) => name));
    // Stacks show the name in the source text.
    const written = classes.map(([, value]) => /^class( \w+)?/.exec(String(value))?.[1]?.trim());
    for (const [index, [name]] of classes.entries()) {
      expect([undefined, name]).toContain(written[index]);
    }
  });
});

test('the built package renames no class', () => {
  const chunks = readdirSync(DIST).filter((name) => name.endsWith('.js'));
  const renamed = chunks.flatMap((name) =>
    [...readFileSync(new URL(name, DIST), 'utf8').matchAll(/\bclass\s+_\w+/g)].map(
      ([text]) => text,
    ),
  );
  expect(renamed).toEqual([]);
});

function isClass(value: unknown): boolean {
  return typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value));
}
