/** Where the descriptors of this process lead, as far as the system tells. */
import { readdirSync, readlinkSync } from 'node:fs';

export const CAN_LIST_DESCRIPTORS = process.platform === 'linux';

/** What of the path, or below it, is open now. Requires: the path has no symbolic link. */
export function openBelow(path: string): string[] {
  return readdirSync('/proc/self/fd')
    .map(targetOf)
    .filter((target) => target === path || target.startsWith(`${path}/`));
}

/** Nothing where the descriptor was closed meanwhile. */
function targetOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}
