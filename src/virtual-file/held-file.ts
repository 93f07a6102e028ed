/** Synchronous reads of a file. */
import { StorageError } from '../errors.ts';

export interface HeldFileContext {
  /** As the caller gave it. */
  readonly path: string;
  readonly readSync: (target: Uint8Array, offset: number) => number;
  readonly release: () => void;
}

/** A file that can be read synchronously until it is released. */
export class HeldFile {
  readonly #context: HeldFileContext;
  #isHeld = true;

  /** Called by `VirtualFile.hold`. @internal */
  constructor(context: HeldFileContext) {
    this.#context = context;
  }

  /**
   * Reads at most `target.length` bytes at `offset`, synchronously.
   * @returns the number of bytes read; 0 at the end of the file
   * @throws StorageError `out-of-range`, `closed`, `io`, `sync-failed`
   */
  readSync(target: Uint8Array, offset: number): number {
    if (this.#isHeld) return this.#context.readSync(target, offset);
    throw new StorageError('closed', { what: 'file is closed', path: this.#context.path });
  }

  /** Ends synchronous reading. Idempotent. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#context.release();
  }
}
