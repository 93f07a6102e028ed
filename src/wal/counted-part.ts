/** The counts of a part of WAL. */
import type { WalRecordBatch } from './record-batch.ts';
import { type RecordCounts, RecordTally } from './record-tally.ts';
import { type PartBorders, type PartReadOptions, readPart, type WalPart } from './wal-part.ts';

export interface CountedPart extends PartBorders {
  readonly counts: RecordCounts;
}

/** Returns: undefined unless the part is complete and valid. Throws `aborted`. */
export async function countPart(
  part: WalPart,
  options: PartReadOptions,
): Promise<CountedPart | undefined> {
  let tally: RecordTally | undefined;
  const borders = await readPart(
    part,
    ({ majorVersion }) => {
      const started = new RecordTally(majorVersion, part.selection);
      tally = started;
      return (batch, to) => isCounted(started, batch, to);
    },
    options,
  );
  return borders === undefined || tally === undefined
    ? undefined
    : { ...borders, counts: tally.counts() };
}

/** Returns: whether all records are valid. */
function isCounted(tally: RecordTally, batch: WalRecordBatch, to: number): boolean {
  let isValid = true;
  const onDamage = (): void => {
    isValid = false;
  };
  tally.add(batch, { to, onDamage });
  return isValid;
}
