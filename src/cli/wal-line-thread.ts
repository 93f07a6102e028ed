/** The program of a thread that formats records of WAL, started from its location. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { serveInOrder } from '../threads.ts';
import { type FormattedPart, formatPart, type LinesPart } from './formatted-part.ts';

assert(parentPort !== null, '`wal` starts this as a thread');
const options = { signal: new AbortController().signal, chunks: [] };
serveInOrder(
  parentPort,
  (part: LinesPart) => formatPart(part, options),
  ({ text }: FormattedPart) => [text.buffer],
);
