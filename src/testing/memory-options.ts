/** Options of a file system in memory, and of opening its files. */
import {
  checkChoice,
  checkCount,
  checkLimit,
  checkMode,
  checkOptions,
  type KnownOptions,
} from '../check-options.ts';
import type { OpenOptions, Ownership } from '../virtual-file/file-system.ts';
import { checkOpenOptions } from '../virtual-file/file-system-checks.ts';
import type { Intercept } from './faults.ts';
import { BIRTH_TIMES } from './memory-open-file.ts';

/** Options of `MemoryFileSystem`. */
export interface MemoryFileSystemOptions {
  /** Called before each operation; may answer with a fault. */
  readonly intercept?: Intercept | undefined;
  /** The acting user; default 0. Only 0 may change the owner of a file. */
  readonly userId?: number | undefined;
  /** The group of the acting user; default 0. */
  readonly groupId?: number | undefined;
  /** Permission bits that created files do not get; default 0o022. */
  readonly umask?: number | undefined;
  /**
   * `supported`: aligned direct transfers succeed, others fail with EINVAL. `refused-at-open` and
   * `refused-at-transfer`: all fail with EINVAL, at `open` or at each read and write. Default
   * `supported`.
   */
  readonly directTransfers?: 'supported' | 'refused-at-open' | 'refused-at-transfer' | undefined;
  /**
   * Whether the creation time is part of a file's identity. New files reuse the inode numbers of
   * deleted ones, as on ext4; with `none`, a file and its successor cannot be distinguished. Default `kept`.
   */
  readonly birthTimes?: 'kept' | 'none' | undefined;
}

const OPTIONS: KnownOptions<MemoryFileSystemOptions> = {
  intercept: 'function',
  userId: true,
  groupId: true,
  umask: true,
  directTransfers: true,
  birthTimes: true,
};

const DIRECT_TRANSFERS = ['supported', 'refused-at-open', 'refused-at-transfer'] as const;

/** Throws `invalid-input`. */
export function checkMemoryOptions(options: MemoryFileSystemOptions): void {
  checkOptions(options, OPTIONS);
  for (const name of ['userId', 'groupId'] as const) checkLimit(name, options[name], ID_BOUNDS);
  checkLimit('umask', options.umask, { to: 0o7777 });
  checkChoice('directTransfers', options.directTransfers, DIRECT_TRANSFERS);
  checkChoice('birthTimes', options.birthTimes, BIRTH_TIMES);
}

const ID_BOUNDS = { to: Number.MAX_SAFE_INTEGER };

/** Throws `invalid-input`. */
export function checkPartialOwnership(ownership: Partial<Ownership>): void {
  checkOptions(ownership, { mode: true, userId: true, groupId: true });
  const { mode, userId, groupId } = ownership;
  checkMode(mode);
  if (userId !== undefined) checkCount('userId', userId);
  if (groupId !== undefined) checkCount('groupId', groupId);
}

/** The mark of an operation that opens a file for direct transfers. Throws `invalid-input`. */
export function openMark(options: OpenOptions): { readonly direct?: true } {
  checkOpenOptions(options);
  return options.direct ? { direct: true } : {};
}
