/**
 * What speaks against an import: an error, unless the caller has allowed it, and a warning in the
 * same words if so. What Postgres itself takes as it is, is a warning in any case.
 */
import type { StorageError } from '../errors.ts';

/** `unclean`: the files need not fit together. `damaged`: something is missing or invalid. */
export type ObjectionKind = 'unclean' | 'damaged';

export class Objections {
  /** In the order in which they were noticed. */
  readonly warnings: StorageError[] = [];
  readonly #allowed: ReadonlySet<ObjectionKind>;

  constructor(allowed: readonly ObjectionKind[]) {
    this.#allowed = new Set(allowed);
  }

  isAllowed(kind: ObjectionKind): boolean {
    return this.#allowed.has(kind);
  }

  /** Throws the error unless its kind is allowed. */
  raise(kind: ObjectionKind, error: StorageError): void {
    if (!this.isAllowed(kind)) throw error;
    this.warnings.push(error);
  }

  warn(warning: StorageError): void {
    this.warnings.push(warning);
  }
}
