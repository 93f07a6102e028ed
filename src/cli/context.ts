/** What every command receives: the streams, a signal, and the forms of its output. */
import type { Environment } from './colour.ts';
import type { Output, OutputStream } from './output.ts';
import type { Reporter } from './reporter.ts';

/** The outside world: `main.ts` passes the streams of the process, tests pass fakes. */
export interface CliStreams {
  /** Called only by a command that reads standard input. */
  readonly stdin: () => AsyncIterable<Uint8Array>;
  readonly stdinIsTerminal: boolean;
  /** Bytes, if standard input is a file. */
  readonly stdinSize: number | undefined;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Whether standard output goes to a file, so that progress does not mix with it. */
  readonly stdoutIsFile: boolean;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

export interface Context {
  readonly stdin: () => AsyncIterable<Uint8Array>;
  readonly stdinIsTerminal: boolean;
  readonly stdinSize: number | undefined;
  readonly stdout: Output;
  readonly stdoutIsFile: boolean;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** `ndjson`: one object per line; `json`: one document; `people`: tables. */
export type Format = 'people' | 'json' | 'ndjson';

/** What a dump prints of each value. */
export const VALUES_MODES = ['none', 'hex', 'sha256', 'json'] as const;
export type ValuesMode = (typeof VALUES_MODES)[number];

/** Whether contents are printed, so that each is needed completely. */
export function printsContents(values: ValuesMode): boolean {
  return values === 'hex' || values === 'json';
}
