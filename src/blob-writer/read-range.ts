/** Ranges to read, and joining ranges that are close together; bytes in the gaps are discarded. */

/** One range to read. */
export interface ReadRange {
  /** Is filled completely. */
  readonly target: Uint8Array;
  /** Offset in the source of the first byte. */
  readonly offset: number;
}

/** Maximum number of bytes of a joined read. */
const MAXIMUM_JOINED_LENGTH = 1024 * 1024;

export interface JoinedRange extends ReadRange {
  /** The original ranges; a single one shares the target. */
  readonly parts: readonly ReadRange[];
  /** Whether there are bytes between the parts. */
  readonly hasGaps: boolean;
}

/** Joins ranges that are at most `maximumGap` bytes apart, in ascending order; undefined joins none. */
export function joinRanges(
  ranges: readonly ReadRange[],
  maximumGap: number | undefined,
  maximumLength = MAXIMUM_JOINED_LENGTH,
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
    if (parts.length > 0 && (gap > maximumGap || length > maximumLength)) {
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

/** Copies a range that was read into its parts. */
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

/** Copies the bytes that both ranges have; the offsets are those of the first bytes. */
export function copyOverlap(
  source: Uint8Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
): void {
  const start = Math.max(sourceOffset, targetOffset);
  const end = Math.min(sourceOffset + source.length, targetOffset + target.length);
  if (start >= end) return;
  target.set(source.subarray(start - sourceOffset, end - sourceOffset), start - targetOffset);
}
