/** What every command is given: the streams, and how it may be interrupted. */
import type { Environment } from './colour.ts';
import type { Output, OutputStream } from './output.ts';
import type { Reporter } from './reporter.ts';

/** The world outside; `main.ts` passes the process's, tests pass fakes. */
export interface CliStreams {
  /** Called only by a command that reads it. */
  readonly stdin: () => AsyncIterable<Uint8Array>;
  readonly stdinIsTerminal: boolean;
  /** Bytes, where standard input is a file. */
  readonly stdinSize: number | undefined;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Whether standard output goes into a file, so that progress disturbs nobody. */
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

/** `ndjson` one object a line, `json` one document, `people` tables. */
export type Format = 'people' | 'json' | 'ndjson';
