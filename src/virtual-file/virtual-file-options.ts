/** How a VirtualFile is opened, and which combinations of options are refused. */
import { checkChoice, checkMode } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import type { DescriptorOptions } from './descriptor.ts';
import { IO_MODES, type IoMode, type OpenOptions } from './file-system.ts';
import type { OpenFiles } from './open-files.ts';

export interface VirtualFileOptions extends Omit<OpenOptions, 'direct'> {
  /** Default: the table that the process shares. */
  readonly openFiles?: OpenFiles | undefined;
  /** `scratch`: never recovered after a crash, so never synced, not even on eviction. */
  readonly durability?: 'sync' | 'scratch' | undefined;
  /** Direct transfers are made from and to what `newBuffer` gives. Default `buffered`. */
  readonly ioMode?: IoMode | undefined;
  /**
   * `immutable`, for a file that nobody writes any more: where the descriptor was closed and the file
   * is opened again, its size and the time of its last write must be as before, too. Links, renames
   * and changes of mode do not matter. Default `mutable`.
   */
  readonly content?: 'immutable' | 'mutable' | undefined;
  /** Ends the wait for a descriptor while all of the table are in use. */
  readonly signal?: AbortSignal | undefined;
}

const DURABILITIES = ['sync', 'scratch'] as const;
const CONTENTS = ['immutable', 'mutable'] as const;

/** Throws `invalid-input`. */
export function checkedOptions(options: VirtualFileOptions): DescriptorOptions {
  const { durability = 'sync', content = 'mutable', ioMode, mode } = options;
  checkChoice('durability', options.durability, DURABILITIES);
  checkChoice('content', options.content, CONTENTS);
  checkChoice('ioMode', ioMode, IO_MODES);
  checkMode(mode);
  const { read = false, write = false, create = false, createNew = false } = options;
  const { truncate = false } = options;
  if (!read && !write) throw refusedOptions('read or write');
  if (truncate && !write) throw refusedOptions('write, where the file is to be truncated');
  if (write && content === 'immutable') {
    throw refusedOptions('no write, where the content is immutable');
  }
  const direct = ioMode === 'direct';
  return { read, write, create, createNew, truncate, mode, direct, durability, content };
}

function refusedOptions(expected: string): StorageError {
  return new StorageError('invalid-input', { what: 'open options', expected });
}
