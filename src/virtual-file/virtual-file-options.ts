/** The options of a VirtualFile. */
import {
  checkChoice,
  checkCount,
  checkMode,
  checkOpenFiles,
  checkOptions,
  checkSignal,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError } from '../errors.ts';
import type { DescriptorOptions } from './descriptor.ts';
import { IO_MODES, type IoMode, type OpenOptions } from './file-system.ts';
import { checkOpenFlags } from './file-system-checks.ts';
import type { OpenFiles } from './open-files.ts';

/** Options of `VirtualFile.open`; `read` or `write` is required. */
export interface VirtualFileOptions extends Omit<OpenOptions, 'direct'> {
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /**
   * `scratch`: the file is not needed after a crash, so it is never synced, not even on eviction.
   * Default `sync`.
   */
  readonly durability?: 'sync' | 'scratch' | undefined;
  /** `direct` applies to buffers from `newBuffer`; see `IoMode`. Default `buffered`. */
  readonly ioMode?: IoMode | undefined;
  /**
   * `immutable`, for a file that is no longer written: when its descriptor is closed and reopened, size
   * and modification time must be unchanged. Links, renames and changes of mode do not matter. Default
   * `mutable`.
   */
  readonly content?: 'immutable' | 'mutable' | undefined;
  /** Aborts the wait for a descriptor. */
  readonly signal?: AbortSignal | undefined;
}

const VIRTUAL_FILE_OPTIONS: KnownOptions<VirtualFileOptions> = {
  openFiles: true,
  durability: true,
  ioMode: true,
  content: true,
  signal: true,
  create: true,
  createNew: true,
  mode: true,
  read: true,
  truncate: true,
  write: true,
};

const DURABILITIES = ['sync', 'scratch'] as const;
const CONTENTS = ['immutable', 'mutable'] as const;

/** Throws `invalid-input`. */
export function checkedOptions(options: VirtualFileOptions): DescriptorOptions {
  checkOptions(options, VIRTUAL_FILE_OPTIONS);
  checkOpenFiles(options.openFiles);
  checkSignal(options.signal);
  const { durability = 'sync', content = 'mutable', ioMode, mode } = options;
  checkChoice('durability', options.durability, DURABILITIES);
  checkChoice('content', options.content, CONTENTS);
  checkChoice('ioMode', ioMode, IO_MODES);
  checkOpenFlags(options);
  checkMode(mode);
  const { read = false, write = false, create = false, createNew = false } = options;
  const { truncate = false } = options;
  if (!read && !write) throw refusedOptions('read or write');
  if (truncate && !write) throw refusedOptions('write, to truncate the file');
  if (write && content === 'immutable') {
    throw refusedOptions('no write, for immutable content');
  }
  const direct = ioMode === 'direct';
  return { read, write, create, createNew, truncate, mode, direct, durability, content };
}

function refusedOptions(expected: string): StorageError {
  return new StorageError('invalid-input', { what: 'open options', expected });
}

/** Throws `invalid-input`. Returns the limit. */
export function checkedMaximum(options: { readonly maximumLength: number }): number {
  checkOptions(options, { maximumLength: true });
  const { maximumLength } = options;
  if (typeof maximumLength !== 'number') checkCount('maximumLength', maximumLength);
  return maximumLength;
}
