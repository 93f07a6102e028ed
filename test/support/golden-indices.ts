/** Indices that Neon wrote (`branches`, `pg17`, `sk15`), and some made by hand (`variants`). */
import { readFileSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';

const FILE = new URL('../golden/index-part/indices.json.br', import.meta.url);
const INDICES: Record<string, string> = JSON.parse(
  brotliDecompressSync(readFileSync(FILE)).toString(),
);

/** The names below a prefix. */
export function goldenIndexNames(prefix: string): string[] {
  return Object.keys(INDICES).filter((name) => name.startsWith(prefix));
}

/** The text of one, such as `variants/v1/11111111`. */
export function goldenIndex(name: string): string {
  const text = INDICES[name];
  if (text === undefined) throw new Error(`no golden index ${name}`);
  return text;
}
