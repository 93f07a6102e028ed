/** Runs the command line in this process, with streams that remember. */
import type { OutputStream } from '../../src/cli/output.ts';
import { run } from '../../src/cli/run.ts';

export interface RunOptions {
  readonly stdin?: string | Uint8Array | AsyncIterable<Uint8Array> | undefined;
  readonly environment?: Record<string, string> | undefined;
  /** Whether both output streams are terminals. */
  readonly terminal?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Standard output fails with this once N bytes are written. */
  readonly stdoutFailure?: { readonly errno: string; readonly afterBytes: number } | undefined;
  /** Called before standard output takes anything. */
  readonly onFirstOutput?: (() => void) | undefined;
  /** Called with what standard output takes. */
  readonly onOutput?: ((chunk: Buffer) => void) | undefined;
}

export interface RunResult {
  readonly status: number;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
}

export async function runCli(
  commandLine: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const stdout = new RecordingStream(options, options);
  const stderr = new RecordingStream(options);
  const status = await run(commandLine, {
    stdin: () => toChunks(options.stdin ?? ''),
    stdinIsTerminal: false,
    stdinSize: undefined,
    stdout,
    stderr,
    stdoutIsFile: false,
    environment: options.environment ?? {},
    signal: options.signal ?? new AbortController().signal,
  });
  const stdoutBytes = stdout.bytes();
  return { status, stdout: stdoutBytes.toString(), stdoutBytes, stderr: stderr.bytes().toString() };
}

/** The objects of NDJSON. */
export function parseLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

/** The one error on standard error. */
export function parseError(result: RunResult): Record<string, unknown> {
  const errors = parseLines(result.stderr).filter((line) => 'error' in line);
  if (errors.length !== 1) throw new Error(`one error expected: ${result.stderr}`);
  return JSON.parse(JSON.stringify(errors[0]?.['error']));
}

type StreamOptions = Pick<RunOptions, 'stdoutFailure' | 'onFirstOutput' | 'onOutput'>;

class RecordingStream implements OutputStream {
  readonly isTTY: boolean | undefined;
  readonly columns: number | undefined;
  readonly #chunks: Buffer[] = [];
  readonly #options: StreamOptions;
  #length = 0;

  constructor({ terminal, columns }: RunOptions, options: StreamOptions = {}) {
    this.isTTY = terminal;
    this.columns = columns;
    this.#options = options;
  }

  write(chunk: string | Uint8Array, done: (error?: Error | null) => void): boolean {
    const bytes = Buffer.from(chunk);
    const { stdoutFailure: failure, onFirstOutput, onOutput } = this.#options;
    if (this.#length === 0) onFirstOutput?.();
    this.#length += bytes.length;
    if (failure !== undefined && this.#length > failure.afterBytes) {
      setImmediate(() => done(Object.assign(new Error('write failed'), { code: failure.errno })));
      return false;
    }
    this.#chunks.push(bytes);
    onOutput?.(bytes);
    setImmediate(done);
    return true;
  }

  on(): this {
    return this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

async function* toChunks(
  input: string | Uint8Array | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (typeof input === 'string') yield Buffer.from(input);
  else if (input instanceof Uint8Array) yield input;
  else yield* input;
}
