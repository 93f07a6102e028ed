/** Syncs that hold threads of the pool: what is so beside other tests, too, since no delay must be short. */
import { expect, test } from 'vitest';
import { readBesideSyncs, STALL_MS, SYNCS } from '../support/stalled-syncs.ts';

test('the same syncs past the library do hold up reads', async () => {
  const result = await readBesideSyncs({ stallMs: STALL_MS, syncs: 'unbounded' }, undefined);
  expect(result.slowestMs).toBeGreaterThan(STALL_MS / 2);
});

test('with a pool of one thread, 16 stalled syncs and concurrent reads end', async () => {
  const result = await readBesideSyncs({ stallMs: 30, syncs: 'bounded' }, '1');
  expect(result.mostStalled).toBe(1);
  expect(result.reads).toBeGreaterThan(SYNCS);
});
