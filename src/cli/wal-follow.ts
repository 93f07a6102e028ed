/** `wal --follow`: waits at the end of the WAL until there may be more. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrorNamed } from '../realms.ts';
import type { WalEnd } from '../wal/wal-end.ts';
import type { Context } from './context.ts';
import { isUrl } from './remote-source.ts';
import type { WalInput } from './wal-input.ts';

/** Milliseconds between two polls: of files, and of a store, where each poll costs requests. */
const LOCAL_INTERVAL_MS = 250;
const REMOTE_INTERVAL_MS = 2000;

/** The WAL that is followed. */
export interface FollowedWal {
  readonly source: WalInput;
  readonly paths: readonly string[];
  /** How the reader ended last. */
  readonly end: () => WalEnd | undefined;
}

/**
 * The option `waitForMore` of `openWal`: flushes the output so far, then waits. An abort ends the wait. Segments that
 * are named one by one are waited for only while they are being filled: no other one follows the last of them.
 */
export function waitingForMore(
  { stdout, signal }: Pick<Context, 'stdout' | 'signal'>,
  { source, paths, end }: FollowedWal,
) {
  const intervalMs = paths.some(isUrl) ? REMOTE_INTERVAL_MS : LOCAL_INTERVAL_MS;
  return async (): Promise<boolean> => {
    if (!source.canGrow && end()?.error?.code === 'not-found') return false;
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
