#!/usr/bin/env node
/** The program: connects `run` to the streams, signals and exit status of the process. */
import { fstatSync, type Stats, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { isNativeError } from 'node:util/types';
import { systemError } from '../virtual-file/system-error.ts';
import { INTERRUPTED } from './exit-status.ts';
import type { OutputStream } from './output.ts';
import { run } from './run.ts';

/**
 * Writes to a regular file, as standard output may be. Node's own stream ignores short writes: the
 * write that fills a disk is short and no error, and if it is the last one, the file would end
 * early with success.
 */
class FileStream implements OutputStream {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(chunk: string | Uint8Array, done: (error?: Error | null) => void): boolean {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    let error: Error | null = null;
    try {
      for (let start = 0; start < bytes.length; ) start += this.#writeSome(bytes, start);
    } catch (caught) {
      error = isNativeError(caught) ? caught : new Error(String(caught));
    }
    done(error);
    return true;
  }

  /** Errors go to `done`, never to a listener. */
  on(): void {}

  #writeSome(bytes: Uint8Array, start: number): number {
    const length = writeSync(this.#descriptor, bytes, start);
    if (length > 0) return length;
    throw Object.assign(new Error('write made no progress'), { code: 'ENOSPC' });
  }
}

const interruption = new AbortController();

/** The first signal asks for an orderly end, the second one ends the process immediately. */
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
// Pending operations of an interrupted command must not keep the process alive.
if (process.exitCode === INTERRUPTED) process.exit();

/** Node itself would read a directory as an empty stream. */
function standardInput(): AsyncIterable<Uint8Array> {
  if (fstatSync(0).isDirectory()) throw systemError('read', 'standard input', 'EISDIR');
  return process.stdin;
}

/** Returns the status of a descriptor if it is a regular file. */
function fileOn(descriptor: number): Stats | undefined {
  try {
    const stats = fstatSync(descriptor);
    return stats.isFile() ? stats : undefined;
  } catch (error) {
    if (isNativeError(error)) return undefined;
    throw error;
  }
}
