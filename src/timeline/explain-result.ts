/** The result of a read, even if one of its records cannot be read. */
import { isStorageError } from '../errors.ts';
import { surelyNeedsRedo } from './materialize.ts';
import { type PageResult, resultOf } from './read-page.ts';
import type { Reconstruction } from './reconstruct.ts';

/** Damage of a record does not change what the read consists of: only redo could tell. */
export async function explainResult(
  found: Reconstruction,
  pgVersion: number | undefined,
): Promise<PageResult['kind']> {
  try {
    if (found.outcome === 'complete' && surelyNeedsRedo(found, pgVersion)) return 'needs-redo';
    return (await resultOf(found, { pgVersion })).kind;
  } catch (error) {
    if (isStorageError(error, 'corrupt', 'truncated', 'too-large')) return 'needs-redo';
    throw error;
  }
}
