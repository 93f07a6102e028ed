/** Bytes to read, and ranges that lie close together, read as one: what is between them is forgotten. */

/** Fill the target from `offset`. */
export interface ReadRange {
  readonly target: Uint8Array;
  readonly offset: number;
}

/** Bytes of one read that joins several, at most. */
const MAXIMUM_JOINED_LENGTH = 1024 * 1024;

export interface JoinedRange extends ReadRange {
  /** Ranges to fill from the target; a single one has the target itself. */
  readonly parts: readonly ReadRange[];
  /** Whether there are bytes between the parts. */
  readonly hasGaps: boolean;
}

/** In the order of their offsets. Ranges are joined over at most `maximumGap` bytes; undefined joins none. */
export function joinRanges(
  ranges: readonly ReadRange[],
  maximumGap: number | undefined,
): JoinedRange[] {
  if (maximumGap === undefined) return ranges.map((range) => joined([range], endOf(range), false));
  const sorted = ranges.toSorted((left, right) => left.offset - right.offset);
  const result: JoinedRange[] = [];
  let parts: ReadRange[] = [];
  let end = 0;
  let hasGaps = false;
  for (const range of sorted) {
    const [first = range] = parts;
    const gap = range.offset - end;
    const length = Math.max(end, endOf(range)) - first.offset;
    if (parts.length > 0 && (gap > maximumGap || length > MAXIMUM_JOINED_LENGTH)) {
      result.push(joined(parts, end, hasGaps));
      parts = [];
    }
    hasGaps = parts.length > 0 && (hasGaps || gap > 0);
    end = parts.length > 0 ? Math.max(end, endOf(range)) : endOf(range);
    parts.push(range);
  }
  if (parts.length > 0) result.push(joined(parts, end, hasGaps));
  return result;
}

/** Fills the parts of a range that was read. */
export function distribute({ target, offset, parts }: JoinedRange): void {
  if (parts.length === 1) return;
  for (const part of parts) {
    const start = part.offset - offset;
    part.target.set(target.subarray(start, start + part.target.length));
  }
}

function joined(parts: readonly ReadRange[], end: number, hasGaps: boolean): JoinedRange {
  const [first] = parts as [ReadRange];
  const target = parts.length === 1 ? first.target : new Uint8Array(end - first.offset);
  return { target, offset: first.offset, parts, hasGaps };
}

function endOf({ target, offset }: ReadRange): number {
  return offset + target.length;
}
