/** Where the descriptors of a process lead, as far as the system tells. */
import { readdirSync, readlinkSync } from 'node:fs';

export const CAN_LIST_DESCRIPTORS = process.platform === 'linux';

/**
 * What of the path, or below it, a process has open now; by default this one.
 * Requires: the path has no symbolic link.
 */
export function openBelow(path: string, processId: number | 'self' = 'self'): string[] {
  return readdirSync(`/proc/${processId}/fd`)
    .map((descriptor) => targetOf(`/proc/${processId}/fd/${descriptor}`))
    .filter((target) => target === path || target.startsWith(`${path}/`));
}

/** Nothing where the descriptor was closed meanwhile. */
function targetOf(descriptor: string): string {
  try {
    return readlinkSync(descriptor);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}
