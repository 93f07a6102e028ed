/** Several processes on one machine, over one file system in memory. */
import type { FileSystem } from '../../src/virtual-file/file-system.ts';

/**
 * The file system as another process sees it: an owner of its own, and no state in common with the
 * others, since the library keeps its state by the object.
 */
export function asProcess(inner: FileSystem, number: number): FileSystem {
  const { owners } = inner;
  if (owners === undefined) throw new Error('processes need a file system that knows its owners');
  const own = (): string =>
    owners.own().slice(0, 10) + number.toString(16).padStart(8, '0') + owners.own().slice(18);
  return {
    open: (path, options) => inner.open(path, options),
    rename: (source, target) => inner.rename(source, target),
    link: (source, target) => inner.link(source, target),
    unlink: (path) => inner.unlink(path),
    stat: (path) => inner.stat(path),
    readDirectory: (path) => inner.readDirectory(path),
    syncDirectory: (path) => inner.syncDirectory(path),
    owners: { own, stateOf: (owner) => owners.stateOf(owner) },
  };
}
