/** Places of symbols without a docstring, as `src/errors.ts: StorageError.path`, in order. */
export function undocumented(): string[];
