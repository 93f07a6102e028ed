/** The page that draws a timeline runs the layer map in a browser. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ENTRY = fileURLToPath(
  new URL('../../../src/timeline/layer-map/layer-map.ts', import.meta.url),
);

test('the layer map, with all that it imports, uses nothing of Node', () => {
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const code = readFileSync(path, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
    expect(code, path).not.toMatch(/'node:|\b(Buffer|process|global)\b\./);
    for (const match of code.matchAll(/^(?:import|export)\b(?! type)[^';]*from '([^']+)'/gm)) {
      expect(match[1], path).toMatch(/^\.\.?\//);
      visit(join(dirname(path), match[1] ?? ''));
    }
  };
  visit(ENTRY);
  expect(seen.size).toBeGreaterThan(10);
});
