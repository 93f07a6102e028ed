/**
 * The bucket of the Spark check: `fill` puts layers into it, valid and damaged ones, and prints what a check must
 * find; `compare EXPECTED SUMMARY` fails unless Spark has found that.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { s3Store } from 'layerfile/object-store';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Copies of the valid layers, so that each worker has several partitions. */
const COPIES = 40;
const LAYER_NAME = /^[0-9A-F]{36}-[0-9A-F]{36}__/;

const [command, ...files] = process.argv.slice(2);
if (command === 'fill') console.log(JSON.stringify(await fill(process.env.LAYERFILE_S3_BUCKET)));
else compare(...files.map((file) => JSON.parse(readFileSync(file, 'utf8'))));

async function fill(bucket) {
  const store = s3Store({ bucket });
  const valid = goldenFiles('layers');
  const damaged = goldenFiles('corrupt');
  const puts = [
    ...valid.flatMap((path) => Array.from({ length: COPIES }, (_, copy) => ({ path, copy }))),
    ...damaged.map((path) => ({ path, copy: 0 })),
  ].map(({ path, copy }) => ({ path, key: `${copy}/${path}` }));
  await store.put('notes.txt', Buffer.from('not a layer'));
  for (const { path, key } of puts) {
    await store.put(key, readFileSync(join(ROOT, 'test/golden', path)));
  }
  const found = verify(damaged);
  return {
    layers: puts.length,
    errors: found.reduce((sum, { errors }) => sum + errors, 0),
    damaged: puts
      .filter(({ path }) => found.some((file) => file.path.endsWith(path) && !file.ok))
      .map(({ key }) => `s3://${bucket}/${key}`)
      .sort(),
  };
}

function goldenFiles(kind) {
  const paths = readdirSync(join(ROOT, 'test/golden', kind), { recursive: true });
  return paths.filter((path) => LAYER_NAME.test(basename(path))).map((path) => join(kind, path));
}

/** What this machine says of the files, read as files. */
function verify(paths) {
  const options = {
    cwd: join(ROOT, 'test/golden'),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  };
  const words = [join(ROOT, 'dist/cli.js'), 'verify', '--ndjson', ...paths];
  try {
    return lines(execFileSync(process.execPath, words, options));
  } catch ({ stdout }) {
    return lines(stdout);
  }
}

function lines(text) {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function compare(expected, { layers, errors, damaged, unknown, listed }) {
  const names = listed.map(({ name }) => name).sort();
  assert.ok(expected.damaged.length >= 30, 'the bucket has too little damage');
  assert.deepEqual({ layers, unknown, damaged: names }, { ...pick(expected), unknown: 0 });
  assert.equal(damaged, names.length);
  assert.equal(errors, expected.errors);
  console.log(`Spark: ${layers} layers, ${damaged} damaged, ${errors} errors, as expected`);
}

function pick({ layers, damaged }) {
  return { layers, damaged };
}
