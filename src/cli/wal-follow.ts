/** `wal --follow`: waits at the end of the WAL until there may be more. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrorNamed } from '../realms.ts';
import type { Context } from './context.ts';
import { isUrl } from './remote-source.ts';

/** Milliseconds between two polls: of files, and of a store, where each poll costs requests. */
const LOCAL_INTERVAL_MS = 250;
const REMOTE_INTERVAL_MS = 2000;

/**
 * The option `waitForMore` of `openWal`: flushes the output so far, then waits. An abort ends the
 * wait.
 */
export function waitingForMore(
  { stdout, signal }: Pick<Context, 'stdout' | 'signal'>,
  paths: readonly string[],
) {
  const intervalMs = paths.some(isUrl) ? REMOTE_INTERVAL_MS : LOCAL_INTERVAL_MS;
  return async (): Promise<boolean> => {
    await stdout.flush();
    try {
      await sleep(intervalMs, undefined, { signal });
    } catch (error) {
      // The reader itself throws `aborted`.
      if (!isErrorNamed(error, 'AbortError')) throw error;
    }
    return true;
  };
}
