/**
 * Objections to an import: each is an error, or a warning if the caller has allowed its kind. What
 * Postgres itself ignores is always a warning.
 */
import type { StorageError } from '../errors.ts';

/** `unclean`: the files may be inconsistent. `damaged`: something is missing or invalid. */
export type ObjectionKind = 'unclean' | 'damaged';

export class Objections {
  /** In the order of their discovery, each once. */
  readonly warnings: StorageError[] = [];
  readonly #messages = new Set<string>();
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
    this.warn(error);
  }

  warn(warning: StorageError): void {
    if (this.#messages.has(warning.message)) return;
    this.#messages.add(warning.message);
    this.warnings.push(warning);
  }
}
