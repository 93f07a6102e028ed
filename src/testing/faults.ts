/** What a `MemoryFileSystem` reports before each operation, and the faults that a test can answer with. */
import { isPromise } from 'node:util/types';
import {
  checkFlag,
  checkLimit,
  checkOneOf,
  checkOptions,
  checkText,
  type KnownOptions,
} from '../check-options.ts';
import { systemError } from '../virtual-file/system-error.ts';

/** `sync-data` is the sync of a file's content without its mode and owner. */
export type FileSystemOperationKind =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'sync-data'
  | 'set-length'
  | 'set-ownership'
  | 'close'
  | 'stat'
  | 'rename'
  | 'link'
  | 'unlink'
  | 'make-directory'
  | 'remove-directory'
  | 'read-directory'
  | 'sync-directory';

/** One operation that is about to happen. */
export interface FileSystemOperation {
  /** Counts all operations of the file system from 0. */
  readonly index: number;
  /** Which operation it is. */
  readonly kind: FileSystemOperationKind;
  /** The path as the caller gave it; for operations on an open file, the path that opened it. */
  readonly path: string;
  /** The second path of `rename` and `link`. */
  readonly target?: string | undefined;
  /** In bytes, for `read` and `write`. */
  readonly offset?: number | undefined;
  /** In bytes, for `read`, `write` and `set-length`. */
  readonly length?: number | undefined;
  /** Set if the descriptor is, or is to be, opened for direct transfers. */
  readonly direct?: true | undefined;
}

/** A fault. An empty object, like `undefined`, means no fault. */
export interface FaultAction {
  /** The operation takes effect only after this promise resolves. Ignored by synchronous operations. */
  readonly delay?: Promise<unknown> | undefined;
  /**
   * Name of a system error, such as `ENOSPC`. The operation has no effect and rejects with a
   * `StorageError` that has this `errno`. A sync that fails gives up the content that it should have
   * written: no later sync makes it durable. A close that fails still releases the descriptor.
   */
  readonly fail?: string | undefined;
  /**
   * For a `sync-directory` that fails: `true` if the sync itself failed, so that changes of names are
   * given up; `false` if the directory could not be opened, so that nothing is lost. Default: `false` for
   * errors that only opening can cause, such as `EMFILE`, otherwise `true`.
   */
  readonly whileSyncing?: boolean | undefined;
  /** Maximum number of bytes that a `read` or `write` transfers. */
  readonly limit?: number | undefined;
}

/**
 * Called before each operation, synchronously at the time of the call. The file system may be cloned or
 * crashed in it; what it throws, the operation rejects with, as `io`.
 *
 * @returns the fault, or nothing
 */
export type Intercept = (operation: FileSystemOperation) => FaultAction | undefined;

const ACTION: KnownOptions<FaultAction> = {
  delay: true,
  fail: true,
  whileSyncing: true,
  limit: true,
};

/** Throws: `invalid-input` for an answer that is not a fault. */
export function checkAction(action: FaultAction): void {
  checkOptions(action, ACTION);
  if (isPromise(action)) checkOneOf('answer of intercept', 'a promise', ['a fault']);
  if (action.fail !== undefined) checkText('fail', action.fail);
  checkFlag('whileSyncing', action.whileSyncing);
  checkLimit('limit', action.limit);
}

export function throwIfFailing(
  { kind, path }: Omit<FileSystemOperation, 'index'>,
  action: FaultAction,
): FaultAction {
  if (action.fail === undefined) return action;
  throw systemError(wordsOf(kind), path, action.fail);
}

/** Returns: the kind as the words of a message. */
export function wordsOf(kind: FileSystemOperationKind): string {
  return kind.replaceAll('-', ' ');
}
