/**
 * Decides which of the candidates for a key is read next, and down to which LSN.
 *
 * The candidates are the delta and the image that cover the key below `endLsn`, and a layer in
 * memory that starts below it. An image at LSN x has the range x to x + 1.
 *
 *   delta and image    the image, if it ends at or above the delta's end, or at endLsn; else the
 *                      delta, down to the image's end at the least
 *   image and memory   the same rule
 *   delta and memory   the delta, if it ends at or above the end of the memory, or at endLsn; else
 *                      the memory, down to the delta's end at the least
 *   all three          the winner of delta and image against the memory; the higher of the two floors
 *
 * Source: Neon pageserver/src/tenant/layer_map.rs, `select_layer`.
 */
import type { Lsn, LsnRange } from '../../layers/lsn.ts';

/** A layer that may be read next. */
export interface Candidate extends LsnRange {
  /** A layer in memory has no key range. */
  readonly kind: 'delta' | 'image' | 'memory';
  /** The name in the result. */
  readonly name: string;
}

/** The layer to read next. */
export interface Choice {
  readonly candidate: Candidate;
  /** The lowest LSN that is to be read from it. */
  readonly lsnFloor: Lsn;
}

/** The candidates for one key; each may be missing. */
export interface Candidates {
  readonly delta: Candidate | undefined;
  readonly image: Candidate | undefined;
  readonly memory: Candidate | undefined;
}

/** The layer to read next; undefined if there is no candidate. */
export function chooseLayer(candidates: Candidates, endLsn: Lsn): Choice | undefined {
  const { delta, image, memory } = candidates;
  const stored = chooseBelow(delta, image, endLsn);
  if (stored === undefined || memory === undefined) return stored ?? alone(memory);
  const choice =
    stored.candidate.kind === 'image'
      ? chooseBelow(memory, stored.candidate, endLsn)
      : chooseOfDeltas(stored.candidate, memory, endLsn);
  return { ...choice, lsnFloor: higher(choice.lsnFloor, stored.lsnFloor) };
}

function chooseBelow(upper: Candidate, image: Candidate, endLsn: Lsn): Choice;
function chooseBelow(
  upper: Candidate | undefined,
  image: Candidate | undefined,
  endLsn: Lsn,
): Choice | undefined;
function chooseBelow(
  upper: Candidate | undefined,
  image: Candidate | undefined,
  endLsn: Lsn,
): Choice | undefined {
  if (upper === undefined || image === undefined) return alone(upper ?? image);
  if (image.end >= upper.end || image.end === endLsn) return alone(image);
  return { candidate: upper, lsnFloor: higher(upper.start, image.end) };
}

function chooseOfDeltas(delta: Candidate, memory: Candidate, endLsn: Lsn): Choice {
  if (delta.end >= memory.end || delta.end === endLsn) {
    return { candidate: delta, lsnFloor: delta.start };
  }
  return { candidate: memory, lsnFloor: higher(memory.start, delta.end) };
}

function alone(candidate: Candidate): Choice;
function alone(candidate: Candidate | undefined): Choice | undefined;
function alone(candidate: Candidate | undefined): Choice | undefined {
  return candidate === undefined ? undefined : { candidate, lsnFloor: candidate.start };
}

function higher(left: Lsn, right: Lsn): Lsn {
  return left > right ? left : right;
}
