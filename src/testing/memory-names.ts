/** Changes of names in the memory file system that need checks: renames, and directories that come and go. */
import { systemError } from '../virtual-file/system-error.ts';
import { MemoryDirectory, type MemoryTree } from './memory-tree.ts';

/** A file replaces a file, a directory an empty directory. A crash keeps all of it or nothing. */
export function renameIn(tree: MemoryTree, source: string, target: string): void {
  const from = tree.locate(source);
  const to = tree.locate(target);
  if (from.node === undefined) throw systemError('rename file', source, 'ENOENT');
  if (to.node === from.directory) throw systemError('rename file', source, 'ENOTEMPTY');
  // POSIX: renaming one name of a file to another name of it leaves both.
  if (from.node === to.node) return;
  if (from.node.kind === 'directory') {
    if (from.name === '') throw systemError('rename directory', source, 'EBUSY');
    if (isWithin(tree, from.node, to.directory))
      throw systemError('rename directory', source, 'EINVAL');
    if (to.node !== undefined && to.node.kind !== 'directory') {
      throw systemError('rename directory', source, 'ENOTDIR');
    }
    if (to.node !== undefined) checkEmpty(to.node, 'rename directory', target);
  } else if (to.node?.kind === 'directory') throw systemError('rename file', source, 'EISDIR');
  tree.change([
    { place: from, node: undefined },
    { place: to, node: from.node },
  ]);
}

export function makeDirectoryIn(tree: MemoryTree, path: string): void {
  const place = tree.locate(path);
  if (place.node !== undefined) throw systemError('make directory', path, 'EEXIST');
  const node = tree.create((identity) => new MemoryDirectory(identity));
  tree.change([{ place, node }]);
}

export function removeDirectoryIn(tree: MemoryTree, path: string): void {
  const place = tree.locate(path);
  if (place.node === undefined) throw systemError('remove directory', path, 'ENOENT');
  if (place.node.kind !== 'directory') throw systemError('remove directory', path, 'ENOTDIR');
  if (place.name === '') throw systemError('remove directory', path, 'EBUSY');
  checkEmpty(place.node, 'remove directory', path);
  tree.change([{ place, node: undefined }]);
}

function checkEmpty(directory: MemoryDirectory, action: string, path: string): void {
  if (directory.live.size > 0) throw systemError(action, path, 'ENOTEMPTY');
}

/** Whether a directory is another one, or below it. */
function isWithin(tree: MemoryTree, above: MemoryDirectory, wanted: MemoryDirectory): boolean {
  if (above === wanted) return true;
  return tree
    .entriesOf(above)
    .some(([, node]) => node.kind === 'directory' && isWithin(tree, node, wanted));
}
