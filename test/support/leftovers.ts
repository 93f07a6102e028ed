/** Names of temporary files whose owners are running, have ended, or cannot be known. */

import type { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import type { FileSystem } from '../../src/virtual-file/file-system.ts';
import { SCRATCH_PREFIX, temporaryName } from '../../src/virtual-file/leftover-names.ts';
import { systemOwners } from '../../src/virtual-file/owners.ts';

export type OwnerKind = 'running' | 'ended' | 'unknown';

/** For a file system in memory, or for the real one. */
export function ownerThat(is: OwnerKind, { owners = systemOwners }: Partial<FileSystem>): string {
  const own = owners.own();
  if (is === 'running') return own;
  if (is === 'unknown') return `0123456789${own.slice(10)}`;
  return own.slice(0, 18) + 'f'.repeat(10);
}

/** Of a file that was to become `{stem}`. */
export function leftoverName(stem: string, owner: string): string {
  return temporaryName(stem, `${owner}00c0ffee`);
}

export function scratchName(owner: string): string {
  return `${SCRATCH_PREFIX}${owner}00c0ffee`;
}

/** Of the one file that is being written in the file system. */
export function temporaryPathIn(fileSystem: MemoryFileSystem): string | undefined {
  return fileSystem.paths().find((path) => path.endsWith('.___temp'));
}
