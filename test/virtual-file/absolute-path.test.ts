import { expect, test } from 'vitest';
import { pathIn } from '../../src/virtual-file/absolute-path.ts';

test.each([
  ['/data', 'file', '/data/file'],
  ['/', 'file', '/file'],
  ['/data/', 'file', '/data/file'],
  ['/data//deep', 'file', '/data/deep/file'],
  ['/data/./deep', 'file', '/data/deep/file'],
  ['/data/.', 'file', '/data/file'],
  ['/data', './file', '/data/file'],
  ['/data', 'deep/', '/data/deep/'],
  ['/data/.hidden', '..file', '/data/.hidden/..file'],
  ['/data/...', 'file', '/data/.../file'],
  ['data', 'file', 'data/file'],
  ['./data', 'file', 'data/file'],
  ['', 'file', 'file'],
  // Where it leads is for the system to say.
  ['/data/../other', 'file', '/data/../other/file'],
  ['..', './file', '.././file'],
])('in %j the absolute path of %j is %j', (directory, name, path) => {
  expect(pathIn(directory, name)).toBe(path);
});

test('a path that no system would take is for the system to refuse', () => {
  const directory = '/a'.repeat(5_000_000);
  expect(pathIn(directory, 'file') === `${directory}/file`).toBe(true);
});
