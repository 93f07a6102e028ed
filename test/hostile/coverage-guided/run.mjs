/**
 * Coverage-guided fuzzing of everything that reads bytes of others, with jazzer.js.
 *
 *   npm run test:guided                    10 minutes
 *
 *   LAYERFILE_GUIDED_SECONDS   how long
 *   LAYERFILE_GUIDED_INPUT     a file that was found, to be tried again
 *   LAYERFILE_GUIDED_NODE      the Node that runs it; default this one
 *
 * Its native part is built for glibc 2.38 and later: elsewhere this says so and ends with status 3.
 * What it finds is written to `crash-*` here, and should become a named test (findings.test.ts).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'tsup';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const { LAYERFILE_GUIDED_SECONDS: seconds = '600', LAYERFILE_GUIDED_INPUT: input } = process.env;

const CANNOT_RUN = 3;

/** A Node that was started with a newer glibc may stand in. */
const NODE = process.env.LAYERFILE_GUIDED_NODE ?? process.execPath;

process.exitCode = await main();

async function main() {
  if (!existsSync(`${HERE}node_modules/.package-lock.json`)) run('npm', ['ci']);
  if (run(NODE, ['-e', "require('@jazzer.js/fuzzer')"]) !== 0) {
    console.error('jazzer.js does not run here');
    return CANNOT_RUN;
  }
  // One file in CommonJS, which is what jazzer.js instruments.
  await bundle({ target: 'target.ts' }, 'cjs');
  await bundle({ seeds: 'seeds.ts' }, 'esm');
  mkdirSync(`${HERE}dist/corpus`, { recursive: true });
  run(NODE, ['dist/seeds.mjs', 'dist/seeds']);
  const jazzer = 'node_modules/@jazzer.js/core/dist/cli.js';
  const what = input === undefined ? ['dist/corpus', 'dist/seeds'] : [input];
  const options = ['--includes', 'dist/target', '--sync=false', '--timeout', '60000'];
  return run(NODE, [
    jazzer,
    'dist/target.cjs',
    ...what,
    ...options,
    '--',
    '-max_len=65536',
    `-max_total_time=${seconds}`,
    '-rss_limit_mb=4096',
    '-print_final_stats=1',
  ]);
}

function bundle(entry, format) {
  const paths = Object.entries(entry).map(([name, path]) => [name, `${HERE}${path}`]);
  return build({
    entry: Object.fromEntries(paths),
    outDir: `${HERE}dist`,
    config: false,
    format,
    target: 'node20',
    platform: 'node',
    outExtension: () => ({ js: format === 'cjs' ? '.cjs' : '.mjs' }),
    // The native package stays outside: its loader names files of every platform.
    noExternal: [/^(?!@toondepauw)/],
    external: ['@toondepauw/node-zstd'],
    silent: true,
  });
}

/** Returns the exit status. */
function run(command, args) {
  return spawnSync(command, args, { cwd: HERE, stdio: 'inherit' }).status;
}
