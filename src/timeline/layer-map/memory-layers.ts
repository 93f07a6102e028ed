/** Layers of a timeline that a pageserver has in memory: the open one, and frozen ones before it. */
import { checkedItems, checkObject, checkText } from '../../check-options.ts';
import { StorageError } from '../../errors.ts';
import { checkLsn, type Lsn, MAXIMUM_LSN } from '../../layers/lsn.ts';
import type { Candidate } from './search-rule.ts';

/** A layer in memory. It may have any key. */
export interface MemoryLayer {
  /** The name in the result of a search; not a layer's file name. */
  readonly name: string;
  /** First LSN, inclusive. */
  readonly start: Lsn;
  /** Last LSN, exclusive; undefined for the open layer. */
  readonly end?: Lsn | undefined;
}

/** Throws `invalid-input` or `out-of-range` unless these are layers, the oldest first and the open one last. */
export function checkedMemoryLayers(layers: readonly MemoryLayer[] = []): readonly MemoryLayer[] {
  let previousEnd: Lsn | undefined = 0n;
  return checkedItems('memoryLayers', layers, (layer) => {
    checkObject('layer in memory', layer);
    const { name, start, end } = layer;
    checkText('name of a layer in memory', name);
    checkLsn(start, 'start of a layer in memory');
    if (end !== undefined) checkLsn(end, 'end of a layer in memory');
    const isAscending = previousEnd !== undefined && previousEnd <= start;
    if (!isAscending || (end !== undefined && end <= start)) {
      throw new StorageError('out-of-range', {
        what: 'layers in memory',
        expected: 'ascending LSN ranges, the open one last',
        actual: name,
      });
    }
    previousEnd = end;
  });
}

/** The newest layer that starts below an LSN. */
export function memoryCandidate(
  layers: readonly MemoryLayer[],
  endLsn: Lsn,
): Candidate | undefined {
  for (let at = layers.length - 1; at >= 0; at -= 1) {
    const layer = layers[at];
    if (layer === undefined || layer.start >= endLsn) continue;
    return {
      kind: 'memory',
      name: layer.name,
      start: layer.start,
      end: layer.end ?? MAXIMUM_LSN,
    };
  }
  return undefined;
}
