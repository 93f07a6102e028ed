/** What a fake file system tells of each operation, and the faults that a test may answer with. */

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

export interface FileSystemOperation {
  /** Counts from 0 over all operations of the file system. */
  readonly index: number;
  readonly kind: FileSystemOperationKind;
  readonly path: string;
  /** The second path of `rename` and `link`. */
  readonly target?: string | undefined;
  /** Bytes, for `read` and `write`. */
  readonly offset?: number | undefined;
  /** Bytes, for `read`, `write` and `set-length`. */
  readonly length?: number | undefined;
  /** Of a descriptor that was opened for direct transfers, or of opening it. */
  readonly direct?: true | undefined;
}

export interface FaultAction {
  /** The operation waits for it first; a synchronous read does not. */
  readonly delay?: Promise<unknown> | undefined;
  /** Name of the system's error: the operation has no effect and rejects with it. */
  readonly fail?: string | undefined;
  /**
   * Of `sync-directory`: whether the directory had been opened, so that changes of names are lost.
   * Default: true, unless only opening can fail so.
   */
  readonly whileSyncing?: boolean | undefined;
  /** At most so many bytes are read or written. */
  readonly limit?: number | undefined;
}

/** Is asked before each operation, at the time of the call; nothing means no fault. */
export type Intercept = (operation: FileSystemOperation) => FaultAction | undefined;
