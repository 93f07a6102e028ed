#!/usr/bin/env node
/** The program: the process's own streams, signals and exit status around `run`. */
import { fstatSync, type Stats } from 'node:fs';
import { isatty } from 'node:tty';
import { isNativeError } from 'node:util/types';
import { systemError } from '../virtual-file/system-error.ts';
import { INTERRUPTED } from './exit-status.ts';
import { FileStream } from './file-stream.ts';
import { run } from './run.ts';

const interruption = new AbortController();

/** The first signal asks for an orderly end, the second one ends at once. */
function interrupt(signal: NodeJS.Signals): void {
  if (interruption.signal.aborted) process.exit(INTERRUPTED);
  interruption.abort(new Error(signal));
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);

const stdoutIsFile = fileOn(1) !== undefined;

process.exitCode = await run(process.argv.slice(2), {
  stdin: standardInput,
  stdinIsTerminal: isatty(0),
  stdinSize: fileOn(0)?.size,
  stdout: stdoutIsFile ? new FileStream(1) : process.stdout,
  stderr: process.stderr,
  stdoutIsFile,
  environment: process.env,
  signal: interruption.signal,
});
// What an interrupted command left pending must not keep the process alive.
if (process.exitCode === INTERRUPTED) process.exit();

/** Of a directory, Node would make an empty stream. */
function standardInput(): AsyncIterable<Uint8Array> {
  if (fstatSync(0).isDirectory()) throw systemError('read', 'standard input', 'EISDIR');
  return process.stdin;
}

/** The regular file that a descriptor is, if it is one. */
function fileOn(descriptor: number): Stats | undefined {
  try {
    const stats = fstatSync(descriptor);
    return stats.isFile() ? stats : undefined;
  } catch (error) {
    if (isNativeError(error)) return undefined;
    throw error;
  }
}
