/** The parts of the key space without layers. */
import type { KeyRange } from '../../layers/key.ts';
import { NONE } from './coverage.ts';
import { keysBetween } from './key-number.ts';
import type { LayerTable } from './layer-table.ts';

/** Keys that no image layer covers, and no delta other than L0s. */
export interface KeyHole {
  /** The keys. */
  readonly keyRange: KeyRange;
  /** How many keys they contain. */
  readonly keys: bigint;
}

/** As `LayerMap.holes`. */
export function holesOf(table: LayerTable, minimumKeys: number): KeyHole[] {
  const holes: KeyHole[] = [];
  let coveredUpTo = NONE;
  for (const layer of table.byStartKey()) {
    if (table.isL0(layer)) continue;
    const start = table.keyStart[layer] ?? 0;
    if (coveredUpTo !== NONE && start > coveredUpTo) {
      const keys = keysBetween(table.keyWords, coveredUpTo, start);
      const keyRange = table.keyRange(coveredUpTo, start);
      if (keys >= BigInt(minimumKeys)) holes.push({ keyRange, keys });
    }
    coveredUpTo = Math.max(coveredUpTo, table.keyEnd[layer] ?? 0);
  }
  return holes;
}
