/**
 * Paths that go on meaning the same file: wherever the process goes, and whatever symbolic links are
 * in them. Where `..` behind a symbolic link leads is for the file system to say, so a path with one
 * is never shortened.
 */
import { isAbsolute, normalize } from 'node:path';
import { fromNodeError } from './system-error.ts';

/**
 * The path from the root.
 * Throws: `not-found` if the directory of the process is gone.
 */
export function absolutePath(path: string): string {
  if (path === '' || isAbsolute(path)) return path;
  try {
    return `${process.cwd()}/${path}`;
  } catch (error) {
    throw fromNodeError('find the working directory', path, error);
  }
}

/** The path of a name in a directory, or of a path below it. */
export function pathIn(directory: string, name: string): string {
  const path = directory === '' ? name : `${directory}/${name}`;
  if (path.startsWith('/') && !SHORTENABLE.test(path)) return path;
  return directory.split('/').includes('..') ? path : normalize(path);
}

/** A part that is empty, or one or two dots. */
const SHORTENABLE = /\/\.{0,2}(?:\/|$)/;
