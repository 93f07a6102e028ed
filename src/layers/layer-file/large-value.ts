/** Checks a value that arrives in pieces because it may be larger than 1 MiB. */
import { isStorageError, type StorageError } from '../../errors.ts';
import { AuxFileCheck } from '../aux-file-check.ts';
import { outlineOfBegin, VALUE_OUTLINE_SIZE, type ValueOutline } from '../value-outline.ts';

export interface LargeValue {
  readonly kind: 'value';
  readonly length: number;
  /** Or the error of the value; its offset counts from the start of the value. */
  readonly outline: ValueOutline | StorageError;
}

/** A content that can be streamed more than once; `D` is its damage. */
export interface StreamedContent<D> {
  readonly stream: (onPiece: (piece: Uint8Array) => void) => Promise<number | D>;
}

/**
 * The first bytes and the length determine the kind of a value, and whether it is complete. Only an
 * auxiliary file must be read to its end, for its path; it is streamed twice.
 *
 * Throws: as `LargeEntry.stream`.
 */
export async function readLargeValue<D = never>(
  entry: StreamedContent<D>,
  onPiece: (piece: Uint8Array) => void = () => {},
): Promise<LargeValue | D> {
  const begin = new FirstBytes(VALUE_OUTLINE_SIZE);
  const length = await entry.stream((piece) => {
    begin.add(piece);
    onPiece(piece);
  });
  if (typeof length !== 'number') return length;
  const outline = orError(() => outlineOfBegin(begin.bytes, length));
  if (outline !== undefined) return { kind: 'value', length, outline };
  const check = orError(() => new AuxFileCheck(begin.bytes, length));
  if (isStorageError(check)) return { kind: 'value', length, outline: check };
  const again = await entry.stream((piece) => check.add(piece));
  if (typeof again !== 'number') return again;
  return { kind: 'value', length, outline: orError(() => check.finish()) };
}

function orError<T>(decode: () => T): T | StorageError {
  try {
    return decode();
  } catch (error) {
    if (isStorageError(error)) return error;
    throw error;
  }
}

export class FirstBytes {
  readonly #target: Uint8Array;
  #length = 0;

  constructor(maximumLength: number) {
    this.#target = new Uint8Array(maximumLength);
  }

  /** Fewer than the maximum only if the content is shorter. */
  get bytes(): Uint8Array {
    return this.#target.subarray(0, this.#length);
  }

  add(piece: Uint8Array): void {
    const missing = this.#target.length - this.#length;
    if (missing === 0) return;
    const taken = piece.subarray(0, missing);
    this.#target.set(taken, this.#length);
    this.#length += taken.length;
  }
}
