/**
 * What the commands print of any file: harmless text, JSON that is whole, an honest status. They
 * are called without the command line around them, which wants a package of its own.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dump } from '../../src/cli/commands/dump.ts';
import { exportPage } from '../../src/cli/commands/export-page.ts';
import { get } from '../../src/cli/commands/get.ts';
import { index } from '../../src/cli/commands/index-blocks.ts';
import { inspect } from '../../src/cli/commands/inspect.ts';
import { verify } from '../../src/cli/commands/verify.ts';
import type { Context, Format } from '../../src/cli/context.ts';
import { type ExitStatus, statusOfError } from '../../src/cli/exit-status.ts';
import { Output, type OutputStream } from '../../src/cli/output.ts';
import { Reporter } from '../../src/cli/reporter.ts';
import { isStorageError } from '../../src/errors.ts';
import { formatKey } from '../../src/layers/key.ts';
import { blockKey } from '../support/layers.ts';
import { must } from './expectations.ts';
import type { Choose } from './mutations.ts';

const LIMITS = { maxBlob: 1024 * 1024 };

interface Input {
  readonly file: string;
  readonly words: readonly string[];
  readonly format: Format;
}

type Command = (context: Context, input: Input) => Promise<ExitStatus>;

/** Those that look at everything: they end with 0 only if nothing is wrong. */
const THOROUGH: Readonly<Record<string, Command>> = {
  'dump json': (context, input) => dump(context, input.file, { ...flagsOf(input), values: 'json' }),
  'dump hex': (context, input) => dump(context, input.file, { ...flagsOf(input), values: 'hex' }),
  'dump sha256': (context, input) =>
    dump(context, input.file, { ...flagsOf(input), values: 'sha256' }),
  dump: (context, input) => dump(context, input.file, { ...flagsOf(input), values: 'none' }),
  verify: (context, input) => verify(context, [input.file], flagsOf(input)),
};

const COMMANDS: Readonly<Record<string, Command>> = {
  ...THOROUGH,
  get: (context, input) => get(context, input, flagsOf(input)),
  describe: (context, input) => exportPage(context, input, { ...flagsOf(input), describe: true }),
  inspect: (context, input) => inspect(context, input.file, flagsOf(input)),
  index: (context, input) => index(context, input.file, flagsOf(input)),
};

/** Print bytes. */
const RAW_COMMANDS: Readonly<Record<string, Command>> = {
  'get raw': (context, input) => get(context, input, { ...LIMITS, raw: true }),
  'export page': (context, input) => exportPage(context, input, LIMITS),
};

/** Options for the format, and limits. */
function flagsOf({ format }: Input) {
  return { ...LIMITS, ...(format === 'people' ? {} : ({ [format]: true } as const)) };
}

const FORMATS = ['people', 'json', 'ndjson'] as const;

/** Of what seeds hold: adjacent versions, every third block, and one in 300. */
const KEY_DISTANCES = [1, 3, 300];

/** Controls, marks that are invisible and lone surrogates, but not the end of a line. */
const UNSAFE = /(?!\n)[\p{C}\p{Zl}\p{Zp}]/u;

/** One command over the file. */
export async function checkPrinting(
  bytes: Uint8Array,
  verifies: boolean,
  choose: Choose,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'layerfile-printing-'));
  try {
    const file = join(directory, 'layer');
    writeFileSync(file, bytes);
    await checkPrintingOf(file, verifies, choose);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function checkPrintingOf(file: string, verifies: boolean, choose: Choose): Promise<void> {
  const all = Object.entries({ ...COMMANDS, ...RAW_COMMANDS });
  const [name, command] = all[choose(all.length)] as (typeof all)[number];
  const format = FORMATS[choose(FORMATS.length)] ?? 'json';
  const words = [formatKey(blockKey(choose(12) * (KEY_DISTANCES[choose(3)] ?? 1)))];
  const { status, stdout, stderr } = await outputOf(command, { file, words, format });
  const shown = `${name}, ${format}, status ${status}`;
  must([0, 1, 4].includes(status), `${shown}: the status is one of a file: ${stderr}`);
  must(!UNSAFE.test(stderr), `${shown}: what is told is harmless`);
  if (name in THOROUGH) {
    must(
      (status === 0) === verifies,
      `${shown}: a file that ${verifies ? 'verifies' : 'does not'}`,
    );
  }
  if (name in RAW_COMMANDS) return;
  must(!UNSAFE.test(stdout), `${shown}: what is printed is harmless`);
  if (format === 'ndjson') for (const line of linesOf(stdout)) checkJson(line, shown);
  if (format === 'json' && status !== 4 && stdout !== '') checkJson(stdout, shown);
}

async function outputOf(command: Command, input: Input) {
  const stdout = new Collected();
  const stderr = new Collected();
  const { signal } = new AbortController();
  const output = (stream: OutputStream) =>
    new Output(stream, { name: 'output', isTerminal: false, colour: false, signal });
  const context = {
    stdin: async function* () {},
    stdinIsTerminal: false,
    stdinSize: undefined,
    stdout: output(stdout),
    stdoutIsFile: false,
    reporter: new Reporter(output(stderr), { audience: 'programs', dumbTerminal: false }),
    signal,
  };
  let status: ExitStatus;
  try {
    status = await command(context, input);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    status = statusOfError(error);
    context.reporter.error(error);
  }
  await context.stdout.flush();
  return { status, stdout: stdout.text(), stderr: stderr.text() };
}

class Collected implements OutputStream {
  readonly #chunks: Buffer[] = [];

  write(chunk: string | Uint8Array, done: (error?: Error | null) => void): boolean {
    this.#chunks.push(Buffer.from(chunk));
    done();
    return true;
  }

  on(): this {
    return this;
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}

function linesOf(text: string): string[] {
  must(text === '' || text.endsWith('\n'), 'the last line is whole');
  return text.split('\n').slice(0, -1);
}

function checkJson(text: string, shown: string): void {
  try {
    JSON.parse(text);
  } catch {
    must(false, `${shown}: JSON is whole: ${text.slice(0, 200)}`);
  }
}
