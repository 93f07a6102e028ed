/** A file that can be read synchronously until it is released. */
import { StorageError } from '../errors.ts';

export interface HeldFileContext {
  /** As the caller gave it. */
  readonly path: string;
  readonly readSync: (target: Uint8Array, offset: number) => number;
  readonly release: () => void;
}

export class HeldFile {
  readonly #context: HeldFileContext;
  #isHeld = true;

  /** For `VirtualFile.hold`. */
  constructor(context: HeldFileContext) {
    this.#context = context;
  }

  /**
   * Reads at most `target.length` bytes at once; returns how many, 0 at the end of the file.
   * Throws: `out-of-range`, `closed`, `io`, `sync-failed`.
   */
  readSync(target: Uint8Array, offset: number): number {
    if (this.#isHeld) return this.#context.readSync(target, offset);
    throw new StorageError('closed', { what: 'file is closed', path: this.#context.path });
  }

  /** Doing so again is harmless. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#context.release();
  }
}
