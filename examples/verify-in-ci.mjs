/**
 * Verifies every layer in a directory; the exit status is 1 if one is damaged.
 *
 *   node verify-in-ci.mjs DIRECTORY
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isStorageError } from 'layerfile';
import { parseLayerName, verifyLayer } from 'layerfile/layers';

const [directory] = process.argv.slice(2);

function isLayerName(name) {
  try {
    parseLayerName(name);
    return true;
  } catch (error) {
    if (isStorageError(error)) return false;
    throw error;
  }
}

let damaged = 0;
for (const name of (await readdir(directory)).filter(isLayerName).sort()) {
  const report = await verifyLayer(join(directory, name), {
    maximumFindings: 10,
    signal: AbortSignal.timeout(600_000),
  });
  if (!report.ok) damaged += 1;
  console.log(`${report.ok ? 'valid' : 'damaged'}: ${report.entries} entries, ${name}`);
  for (const { code, offset, message } of report.findings) {
    console.log(`  ${code} at ${offset}: ${message}`);
  }
}
process.exitCode = damaged === 0 ? 0 : 1;
