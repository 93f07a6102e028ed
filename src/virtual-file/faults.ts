/** What the file system in memory reports of each operation, and the faults a test may inject. */

/** Which method was called. */
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
  | 'read-directory'
  | 'sync-directory';

/** One call of a file system. */
export interface FileSystemOperation {
  /** Counts from 0 over all operations of the file system. */
  readonly index: number;
  readonly kind: FileSystemOperationKind;
  /** As given by the caller; of the open file for operations on one. */
  readonly path: string;
  /** The second path of `rename` and `link`. */
  readonly target?: string | undefined;
  /** Bytes, for `read` and `write`. */
  readonly offset?: number | undefined;
  /** Bytes, for `read`, `write` and `set-length`. */
  readonly length?: number | undefined;
  /** True for operations on a descriptor for direct transfers, and for opening one. */
  readonly direct?: true | undefined;
}

/** What happens to an operation. */
export interface FaultAction {
  /** The operation first waits for this promise. Synchronous reads do not wait. */
  readonly delay?: Promise<unknown> | undefined;
  /** Name of a system error, such as `ENOSPC`: the operation has no effect and rejects with it. */
  readonly fail?: string | undefined;
  /**
   * For `sync-directory`: whether the sync itself fails, so that changed names may be lost, rather than
   * the opening of the directory. Default: true, unless only opening can fail with this error.
   */
  readonly whileSyncing?: boolean | undefined;
  /** Maximum number of bytes read or written. */
  readonly limit?: number | undefined;
}

/** Called before each operation, synchronously; `undefined` means no fault. */
export type Intercept = (operation: FileSystemOperation) => FaultAction | undefined;
