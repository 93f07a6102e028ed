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
/** Copies of the valid layers, so that there are more partitions than workers. */
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
  const found = new Map(verify([...valid, ...damaged]).map((file) => [file.path, file]));
  return {
    layers: puts.length,
    errors: puts.reduce((sum, { path }) => sum + found.get(path).errors, 0),
    damaged: puts
      .filter(({ path }) => !found.get(path).ok)
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
  const differing = [
    ...expected.damaged.filter((name) => !names.includes(name)).map((name) => `missed: ${name}`),
    ...names.filter((name) => !expected.damaged.includes(name)).map((name) => `valid: ${name}`),
  ];
  assert.deepEqual(differing.slice(0, 10), []);
  assert.deepEqual(
    { layers, errors, damaged, unknown },
    { ...expected, damaged: expected.damaged.length, unknown: 0 },
  );
  console.log(`Spark: ${layers} layers, ${damaged} damaged, ${errors} errors, as expected`);
}
