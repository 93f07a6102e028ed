/** Which bytes to read for which blobs: adjacent blobs together, and a bounded number of bytes in flight. */
import { type BlobRequest, estimatedEnd } from './blob-location.ts';

/** A group of concurrent reads ends with the read that reaches this number of bytes. */
const MAXIMUM_BYTES_IN_FLIGHT = 1024 * 1024;

export interface IndexedRequest {
  readonly index: number;
  readonly request: BlobRequest;
}

export interface Run {
  readonly start: number;
  end: number;
  readonly requests: IndexedRequest[];
}

/** Sorts requests by offset and joins adjacent ones up to the maximum read size. */
export function coalesce(requests: readonly IndexedRequest[], maximumReadSize: number): Run[] {
  const sorted = [...requests].sort((left, right) => left.request.offset - right.request.offset);
  const runs: Run[] = [];
  let run: Run | undefined;
  for (const indexed of sorted) {
    const start = indexed.request.offset;
    const end = estimatedEnd(indexed.request);
    if (
      run !== undefined &&
      start <= run.end &&
      Math.max(end, run.end) - run.start <= maximumReadSize
    ) {
      run.end = Math.max(end, run.end);
      run.requests.push(indexed);
    } else {
      run = { start, end, requests: [indexed] };
      runs.push(run);
    }
  }
  return runs;
}

/** Groups runs that are read concurrently, so that a large request holds little more than its blobs. */
export function* groupsOf(runs: readonly Run[]): Generator<Run[]> {
  let group: Run[] = [];
  let bytes = 0;
  for (const run of runs) {
    group.push(run);
    bytes += run.end - run.start;
    if (bytes < MAXIMUM_BYTES_IN_FLIGHT) continue;
    yield group;
    group = [];
    bytes = 0;
  }
  if (group.length > 0) yield group;
}
