/** The program of a thread that counts records of WAL, started from its location. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { serveInOrder } from '../threads.ts';
import { countPart } from '../wal/counted-part.ts';
import type { WalPart } from '../wal/wal-part.ts';

assert(parentPort !== null, 'a count starts this as a thread');
const options = { chunks: [] };
serveInOrder(parentPort, (part: WalPart) => countPart(part, options));
