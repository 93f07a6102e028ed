/**
 * The input of a write-out, and its memory, which is reused: every byte is filled before it is read, so that stale
 * content cannot show.
 */
import type { BufferedWriter } from '../../blob-writer/buffered-writer.ts';
import type { Rows } from './rows.ts';

/** Bytes. */
export interface WriteOutSizes {
  /** Largest file that is read as a whole, and size of a gathered group. */
  readonly group: number;
  /** A piece of a file that is read sequentially. */
  readonly piece: number;
  /** Bytes of one read while gathering. */
  readonly window: number;
  /** Number of rows from which it pays to look for runs of rows with one key. */
  readonly runs: number;
}

/** The values of a layer. */
export type Scratch = Pick<BufferedWriter, 'offset' | 'readExactAt'>;

/** A frozen layer. */
export interface Source {
  readonly rows: Rows;
  readonly scratch: Scratch;
  readonly sizes: WriteOutSizes;
  readonly signal: AbortSignal | undefined;
}

/** Memory that is reused for every second piece. */
export class PieceBuffer {
  #bytes = Buffer.alloc(0);

  take(length: number): Uint8Array {
    if (this.#bytes.length < length) this.#bytes = Buffer.allocUnsafeSlow(length);
    return this.#bytes.subarray(0, length);
  }
}

const LARGE_STEP = 16 * 1024 * 1024;

/** Memory of the file or group that was written last, until it is reused or garbage-collected. */
let spare: WeakRef<Uint8Array> | undefined;

/**
 * Memory for a whole file or a group. It reuses the spare memory, because unreferenced arrays would pile up outside the
 * heap, where the garbage collector hardly notices them.
 */
export function takeLarge(length: number): Uint8Array {
  const found = spare?.deref();
  spare = undefined;
  if (found !== undefined && found.length >= length) return found.subarray(0, length);
  return Buffer.allocUnsafeSlow(Math.ceil(length / LARGE_STEP) * LARGE_STEP).subarray(0, length);
}

/** Ends the use of what `takeLarge` returned. */
export function releaseLarge({ buffer }: Uint8Array): void {
  spare = new WeakRef(new Uint8Array(buffer));
}
