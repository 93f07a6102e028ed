/** Reads beside syncs that a slow disk holds up, in a process with a thread pool of its own. */
import type { StalledSyncsInput, StalledSyncsResult } from '../load/programs/stalled-syncs.ts';
import { bundledProgram, resultOf, startProgram } from './programs.ts';
import { temporaryDirectory } from './temporary-directory.ts';

/** How many there are at a time. */
export const SYNCS = 16;

/** What each takes on a slow disk. */
export const STALL_MS = 300;

/** Without a size, the pool has that of Node. */
export async function readBesideSyncs(
  options: Pick<StalledSyncsInput, 'stallMs' | 'syncs'>,
  poolSize: string | undefined,
): Promise<StalledSyncsResult> {
  const program = await bundledProgram(
    new URL('../load/programs/stalled-syncs.ts', import.meta.url),
  );
  const input: StalledSyncsInput = { ...options, directory: temporaryDirectory() };
  const environment = { ...process.env, UV_THREADPOOL_SIZE: poolSize };
  return resultOf<StalledSyncsResult>(startProgram(program, input, { environment }));
}
