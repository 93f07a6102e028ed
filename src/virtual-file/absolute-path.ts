/**
 * Paths that keep their meaning when the process changes its working directory. Only the file system
 * can resolve `..` after a symbolic link, so a path that contains `..` is never shortened.
 */

import { isAbsolute, normalize } from 'node:path';
import { checkText } from '../check-options.ts';
import { fromNodeError } from './system-error.ts';

/**
 * The path from the root.
 * Throws: `not-found` if the working directory was deleted.
 */
export function absolutePath(path: string): string {
  checkText('path', path);
  if (path === '' || isAbsolute(path)) return path;
  try {
    return `${process.cwd()}/${path}`;
  } catch (error) {
    throw fromNodeError('find the working directory', path, error);
  }
}

/** The path of a name in a directory, or of a path below it. */
export function pathIn(directory: string, name: string): string {
  checkText('directory', directory);
  const path = directory === '' ? name : `${directory}/${name}`;
  if (path.startsWith('/') && !SHORTENABLE.test(path)) return path;
  return directory.split('/').includes('..') ? path : normalize(path);
}

/** A component that is empty, `.` or `..`. */
const SHORTENABLE = /\/\.{0,2}(?:\/|$)/;
