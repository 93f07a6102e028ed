/** Checks of what callers pass to a file system or an open file. */
import {
  checkBytes,
  checkCount,
  checkFlag,
  checkMode,
  checkObject,
  checkOptions,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { valueText } from '../printable.ts';
import type { OpenOptions, Ownership } from './file-system.ts';

const OPEN_OPTIONS: KnownOptions<OpenOptions> = {
  read: true,
  write: true,
  create: true,
  createNew: true,
  truncate: true,
  direct: true,
  mode: true,
};

/** Throws `invalid-input`. */
export function checkOpenOptions(options: OpenOptions): void {
  checkOptions(options, OPEN_OPTIONS);
  checkOpenFlags(options);
  checkMode(options.mode);
}

const OPEN_FLAGS = ['read', 'write', 'create', 'createNew', 'truncate', 'direct'] as const;

/** Throws `invalid-input`. */
export function checkOpenFlags(options: Omit<OpenOptions, 'mode'>): void {
  for (const name of OPEN_FLAGS) checkFlag(name, options[name]);
}

/** Throws `invalid-input`. */
export function checkOwnership(ownership: Ownership): void {
  checkObject('ownership', ownership);
  checkCount('mode', ownership.mode, { to: 0o7777 });
  checkCount('userId', ownership.userId);
  checkCount('groupId', ownership.groupId);
}

/** Throws `invalid-input` unless bytes can be read into, or written from, the array; as `checkOffset`. */
export function checkTransfer(bytes: Uint8Array, offset: number, path: string): void {
  checkBytes(bytes, 'bytes to read or write');
  checkOffset(offset, path);
}

/** Throws `out-of-range`. */
export function checkOffset(offset: number, path: string): void {
  if (Number.isSafeInteger(offset) && offset >= 0) return;
  throw new StorageError('out-of-range', {
    what: 'file offset',
    path,
    expected: 'an integer from 0 to 2^53 - 1',
    actual: valueText(offset),
  });
}
