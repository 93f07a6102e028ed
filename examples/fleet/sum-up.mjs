/**
 * Sums up what workers of `layerfile check --ndjson` have printed, in any order.
 *
 *   node sum-up.mjs NAMES < LINES
 *
 * NAMES is the list of names that the workers got: a layer without a line is unknown. If a layer has several lines,
 * because its worker was restarted, it counts once; a result replaces `unknown`. Prints the layers that are not in
 * order, then the numbers as JSON.
 * Exit status: 0 if all is in order, 1 for damage, 3 if a layer could not be read.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [namesFile] = process.argv.slice(2);
const names = readFileSync(namesFile, 'utf8').split('\n');
const layers = new Map(names.filter((name) => name !== '').map((name) => [name, unknown(name)]));
for await (const line of createInterface({ input: process.stdin })) {
  const result = parse(line);
  if (result?.name === undefined) continue;
  if (result.state === 'unknown' && layers.get(result.name)?.state !== 'unknown') continue;
  layers.set(result.name, result);
}

const sum = { layers: layers.size, damaged: 0, unknown: 0, errors: 0, warnings: 0 };
for (const { name, state, ok, findings } of layers.values()) {
  for (const { severity } of findings) {
    if (severity === 'error') sum.errors += 1;
    else sum.warnings += 1;
  }
  if (state === 'unknown') sum.unknown += 1;
  else if (!ok) sum.damaged += 1;
  else continue;
  console.log(`${state === 'unknown' ? 'unknown' : 'damaged'}  ${name}`);
  for (const { code, message } of findings) console.log(`  ${code}: ${message}`);
}
console.log(JSON.stringify(sum));
process.exitCode = sum.unknown > 0 ? 3 : sum.damaged > 0 ? 1 : 0;

function unknown(name) {
  return { name, state: 'unknown', ok: false, findings: [] };
}

/** Logs may contain lines of other programs. */
function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
