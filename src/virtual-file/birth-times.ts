/**
 * When a file was created: what tells it from a successor that was given its inode number.
 *
 * The value must be the same for as long as the file exists. `node:fs` gives 0 where the file system
 * keeps no birth times, which is easy to see. Where the system has no `statx` (Linux before 4.11, some
 * sandboxes), it gives the time of the last change instead, which moves with every write. Such a value
 * is not used: a device counts as one with birth times once a file or directory of it is seen whose
 * birth time differs from its other times.
 */
import { type BigIntStats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { absolutePath } from './absolute-path.ts';

/** By device; decided once, so that no identity changes later. */
const areKept = new Map<bigint, boolean>();

/**
 * Nanoseconds since 1970; undefined where nobody knows. The first file of a device may cost a look at
 * the directories above it.
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

/** A file that was created just now has equal times; some directory above it is older. */
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
    // Not ours to look at, or gone: then nothing is known.
    return false;
  }
}
