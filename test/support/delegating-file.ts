/** An open file that does some things in its own way and leaves the others to another. */
import type { OpenFile } from '../../src/virtual-file/file-system.ts';

export function delegatingFile(file: OpenFile, own: Partial<OpenFile>): OpenFile {
  return {
    read: (target, offset) => file.read(target, offset),
    write: (source, offset) => file.write(source, offset),
    sync: () => file.sync(),
    syncData: () => file.syncData(),
    setLength: (length) => file.setLength(length),
    setOwnership: (ownership) => file.setOwnership(ownership),
    stat: () => file.stat(),
    close: () => file.close(),
    ...own,
  };
}
