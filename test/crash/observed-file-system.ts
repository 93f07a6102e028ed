/** A file system that tells when an operation that changes the disk begins and when it has ended. */
import type { FileSystem, OpenFile, OpenOptions } from '../../src/virtual-file/file-system.ts';

export interface Observer {
  before(operation: string): void;
  /** Also after one that failed. */
  after(operation: string): void;
}

/** What only reads passes through unobserved: no crash could tell before from after. */
export function observed(inner: FileSystem, observer: Observer): FileSystem {
  const watch = async <T>(operation: string, run: () => Promise<T>): Promise<T> => {
    observer.before(operation);
    try {
      return await run();
    } finally {
      observer.after(operation);
    }
  };
  return {
    open: async (path, options) => {
      const open = (): Promise<OpenFile> => inner.open(path, options);
      const file = await (changesDisk(options) ? watch(`open ${path}`, open) : open());
      return observedFile(file, path, watch);
    },
    rename: (source, target) =>
      watch(`rename ${source} to ${target}`, () => inner.rename(source, target)),
    link: (source, target) =>
      watch(`link ${source} to ${target}`, () => inner.link(source, target)),
    unlink: (path) => watch(`unlink ${path}`, () => inner.unlink(path)),
    stat: (path) => inner.stat(path),
    readDirectory: (path) => inner.readDirectory(path),
    syncDirectory: (path) => watch(`sync directory ${path}`, () => inner.syncDirectory(path)),
    owners: inner.owners,
  };
}

type Watch = <T>(operation: string, run: () => Promise<T>) => Promise<T>;

function observedFile(inner: OpenFile, path: string, watch: Watch): OpenFile {
  return {
    read: (target, offset) => inner.read(target, offset),
    ...(inner.readSync && { readSync: inner.readSync.bind(inner) }),
    write: (source, offset) =>
      watch(`write ${source.length} bytes at ${offset} of ${path}`, () =>
        inner.write(source, offset),
      ),
    sync: () => watch(`sync ${path}`, () => inner.sync()),
    syncData: () => watch(`sync data of ${path}`, () => inner.syncData()),
    setLength: (length) => watch(`set length ${length} of ${path}`, () => inner.setLength(length)),
    setOwnership: (ownership) =>
      watch(`set ownership of ${path}`, () => inner.setOwnership(ownership)),
    stat: () => inner.stat(),
    close: () => inner.close(),
  };
}

function changesDisk({ create, createNew, truncate }: OpenOptions): boolean {
  return create === true || createNew === true || truncate === true;
}
