/**
 * Birth times: they distinguish a file from a later one with the same inode number.
 *
 * A file's birth time must never change. `node:fs` reports 0 if the file system stores none. Without
 * `statx` (Linux before 4.11, some sandboxes) it reports the time of the last change, which moves with
 * every write. Such values are not used: birth times of a device are trusted only if a file or
 * directory on it has one that differs from its other times.
 */
import { type BigIntStats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { absolutePath } from './absolute-path.ts';

/** By device. Decided once, so that identities never change. */
const areKept = new Map<bigint, boolean>();

/**
 * Nanoseconds since 1970; undefined if unknown. For the first file of a device, the directories above
 * it may be examined synchronously.
 */
export function birthTimeOf(stats: BigIntStats, path: string): bigint | undefined {
  const { dev, birthtimeNs } = stats;
  if (birthtimeNs <= 0n) return undefined;
  const known = areKept.get(dev);
  const isKept = known ?? (isWitness(stats) || hasWitnessAbove(path, dev));
  if (known === undefined) areKept.set(dev, isKept);
  return isKept ? birthtimeNs : undefined;
}

function isWitness({ birthtimeNs, ctimeNs, mtimeNs }: BigIntStats): boolean {
  return birthtimeNs !== ctimeNs && birthtimeNs !== mtimeNs;
}

/** A new file's times are equal, but one of the directories above it is older. */
function hasWitnessAbove(path: string, device: bigint): boolean {
  try {
    let directory = dirname(absolutePath(path));
    for (;;) {
      const stats = statSync(directory, { bigint: true });
      if (stats.dev !== device) return false;
      if (isWitness(stats)) return true;
      const parent = dirname(directory);
      if (parent === directory) return false;
      directory = parent;
    }
  } catch {
    // No permission, or deleted meanwhile: unknown.
    return false;
  }
}
