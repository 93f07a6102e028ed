/**
 * Programs of the tests that must be processes or threads of their own: bundled from the sources,
 * since Node 20 takes no TypeScript. They lie inside the project, so that packages are found.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { onTestFinished } from 'vitest';

/** Turns Node's permission model on; its name says since Node 23.5 that it is no experiment. */
export const PERMISSION_FLAG = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The path of a file that plain Node runs; it is gone when the test has finished. */
export async function bundledProgram(source: URL): Promise<string> {
  const { path, remove } = await bundleProgram(source);
  onTestFinished(remove);
  return path;
}

export interface BundledProgram {
  readonly path: string;
  readonly remove: () => void;
}

/** As `bundledProgram`, for several tests: the caller removes it. */
export async function bundleProgram(source: URL): Promise<BundledProgram> {
  const cache = join(ROOT, 'node_modules', '.cache', 'layerfile-tests');
  mkdirSync(cache, { recursive: true });
  const outdir = mkdtempSync(join(cache, 'program-'));
  const path = fileURLToPath(source);
  await build({
    entryPoints: { program: path },
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    target: 'node20',
    platform: 'node',
    packages: 'external',
    logLevel: 'warning',
  });
  const remove = (): void => rmSync(outdir, { recursive: true, force: true });
  return { path: join(outdir, 'program.mjs'), remove };
}

export interface Running {
  readonly child: ChildProcess;
  /** The lines of standard output, as they come. */
  readonly lines: AsyncIterable<string>;
  readonly ended: Promise<Ended>;
}

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

export interface StartOptions {
  readonly environment?: NodeJS.ProcessEnv | undefined;
  /** A command with arguments that is given the command to run: `prlimit --nofile=88`. */
  readonly wrapper?: readonly string[] | undefined;
}

/** Starts Node with the program and one argument, the JSON of `input`. */
export function startProgram(path: string, input: unknown, options: StartOptions = {}): Running {
  return startNode([path, JSON.stringify(input)], options);
}

/** Starts Node with these arguments. */
export function startNode(nodeArguments: readonly string[], options: StartOptions = {}): Running {
  const { environment = process.env, wrapper = [] } = options;
  const [command = process.execPath, ...words] = [...wrapper, process.execPath, ...nodeArguments];
  const child = spawn(command, words, {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, stderr }));
  });
  return { child, lines: createInterface({ input: child.stdout }), ended };
}

/** What a program prints as JSON in its last line. Fails unless its exit status is 0. */
export async function resultOf<T>(running: Running): Promise<T> {
  let last = '';
  for await (const line of running.lines) last = line;
  const { status, signal, stderr } = await running.ended;
  if (status !== 0) throw new Error(`the program ended with ${status ?? signal}: ${stderr}`);
  return JSON.parse(last);
}
