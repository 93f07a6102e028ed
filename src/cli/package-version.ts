/** The version in package.json, found by the package's own name from wherever this code runs. */
import { createRequire } from 'node:module';

export function packageVersion(): string {
  const description: unknown = createRequire(import.meta.url)('layerfile/package.json');
  if (typeof description !== 'object' || description === null) return 'unknown';
  return 'version' in description ? String(description.version) : 'unknown';
}
