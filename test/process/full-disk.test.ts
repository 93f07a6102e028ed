/**
 * Disks that are really full: a tmpfs, and an ext4 file system in a file. LAYERFILE_FULL_DISK=all tries each operation
 * with more room than it needs, too.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bundledProgram, resultOf, startProgram } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { OPERATIONS } from './full-disk-operations.ts';
import type { FullDiskInput, FullDiskResult } from './programs/full-disk.ts';

const IS_ROOT = process.getuid?.() === 0;

/** Mounts vanish with the process; without root, a user namespace of its own allows a tmpfs. */
const NAMESPACE = IS_ROOT ? ['unshare', '--mount'] : ['unshare', '--mount', '--map-root-user'];

const PROBES = {
  tmpfs: 'mount -t tmpfs -o size=64k tmpfs "$0"',
  ext4: 'cd "$0" && truncate -s 16M i && mkfs.ext4 -q i && mkdir m && mount -o loop i m && umount m',
};

describe.each(['tmpfs', 'ext4'] as const)('a full %s', (kind) => {
  const reason = whyNot(kind);
  if (reason !== undefined) console.warn(`a full ${kind} is not tried on this machine: ${reason}`);

  const name = 'leaves old content and an error or new content and success, at every free 4 KiB';
  test.runIf(reason === undefined)(
    reason === undefined ? name : `not tried here (${reason}): ${name}`,
    { timeout: 300_000 },
    async () => {
      const program = await bundledProgram(new URL('programs/full-disk.ts', import.meta.url));
      const input: FullDiskInput = { kind, directory: temporaryDirectory() };
      const running = startProgram(program, input, { wrapper: NAMESPACE });
      const results = await resultOf<readonly FullDiskResult[]>(running);
      expect(results.length).toBe(OPERATIONS.length);
      for (const { operation, refusedAtLeast, applied, refused, freeUnits } of results) {
        console.info(`full ${kind}: ${operation}: ${refused} refused, ${applied} applied`);
        expect(refused).toBeGreaterThanOrEqual(refusedAtLeast);
        expect(applied).toBeGreaterThan(2);
        // Every step was a different amount, from none on.
        expect(freeUnits).toEqual(freeUnits.map((_, index) => index));
      }
    },
  );
});

/** What the machine lacks; nothing where the disk can be made. */
function whyNot(kind: keyof typeof PROBES): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'layerfile-probe-'));
  try {
    const [command = '', ...words] = NAMESPACE;
    execFileSync(command, [...words, 'sh', '-c', PROBES[kind], directory], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
    return (stderr || String(error)).trim().split('\n')[0] ?? 'unknown';
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
