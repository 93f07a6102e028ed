/** Which entries of a layer are read. */
import { checkFlag, checkOptions, type KnownOptions } from '../../check-options.ts';
import type { StorageError } from '../../errors.ts';
import type { KeyRange } from '../key.ts';
import type { LsnRange } from '../lsn.ts';

/** Which entries a scan returns. */
export interface EntryOptions {
  /** Default: all keys. */
  readonly keyRange?: KeyRange | undefined;
  /** Default: all LSNs. */
  readonly lsnRange?: LsnRange | undefined;
  /** Ends the scan with `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * `stored`: compressed blobs are located, not decompressed; `bytes` of a batch is not for them.
   * @internal
   */
  readonly contents?: 'decompressed' | 'stored' | undefined;
  /** Why a salvaging scan must not use the root: then it takes every leaf that it finds. @internal */
  readonly rootError?: StorageError | undefined;
  /** Bytes of one read of values; default 1 MiB. @internal */
  readonly pieceSize?: number | undefined;
}

/** Which entries a scan returns, and in which order. */
export interface OrderedEntryOptions extends EntryOptions {
  /** Descending keys and, within a key, newest first. Default: ascending. */
  readonly reverse?: boolean | undefined;
}

const ENTRY_OPTIONS: KnownOptions<EntryOptions> = {
  keyRange: true,
  lsnRange: true,
  signal: true,
  contents: true,
  rootError: true,
  pieceSize: true,
};

const ORDERED_OPTIONS: KnownOptions<OrderedEntryOptions> = { ...ENTRY_OPTIONS, reverse: true };

/** Throws `invalid-input` for a name that is not an option: a misspelt `keyRange` would return everything. */
export function checkEntryOptions(options: EntryOptions): void {
  checkOptions(options, ENTRY_OPTIONS);
}

/** As `checkEntryOptions`. */
export function checkOrderedOptions(options: OrderedEntryOptions): void {
  checkOptions(options, ORDERED_OPTIONS);
  checkFlag('reverse', options.reverse);
}

/** Options of `salvageStreamed`. */
export interface SalvageStreamOptions extends EntryOptions {
  /** Called with each piece of a blob without a key, and the offset of that blob. */
  readonly onLoosePiece?: ((offset: number, piece: Uint8Array) => void) | undefined;
}
