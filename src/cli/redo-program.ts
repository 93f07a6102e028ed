/** The program of `--wal-redo`. */
import type { RedoRunner } from '../timeline/materialize.ts';
import { option } from './command.ts';

/** For a command that builds pages. */
export const WAL_REDO = option(
  '--wal-redo <program>',
  'program that replays WAL, run as PROGRAM --wal-redo',
  String,
);

/** Starts the program; the caller ends it. A program that cannot be started fails when it is needed. */
export async function startRedo(program: string): Promise<RedoRunner & AsyncDisposable> {
  const { RedoProcess } = await import('../timeline/wal-redo/redo-process.ts');
  return RedoProcess.start(program);
}
