import { describe, expect, it } from 'vitest';
import { KeyFilter } from '../../../src/ingest/pipeline/key-filter.ts';
import type { Key } from '../../../src/layers/key.ts';
import {
  auxFilesKey,
  checkpointKey,
  databaseDirectoryKey,
  relationBlockKey,
  relationDirectoryKey,
  relationMapKey,
  relationSizeKey,
  slruBlockKey,
  slruDirectoryKey,
  slruSizeKey,
  twophaseKey,
} from '../../../src/postgres/key-mapping.ts';

const FORK = { spcnode: 1663, dbnode: 5, relnode: 16_384, fork: 'main' } as const;
const SEGMENT = { slru: 'clog', segno: 3 } as const;

const METADATA: readonly Key[] = [
  databaseDirectoryKey(),
  relationDirectoryKey(FORK),
  relationMapKey(FORK),
  relationSizeKey(FORK),
  relationSizeKey({ ...FORK, fork: 'fsm' }),
  relationSizeKey({ ...FORK, relnode: 16_385 }),
  slruDirectoryKey('clog'),
  slruDirectoryKey('multixact_offsets'),
  slruSizeKey(SEGMENT),
  slruSizeKey({ ...SEGMENT, segno: 4 }),
  twophaseKey(7n),
  checkpointKey(),
  auxFilesKey(),
];

describe('a filter of keys', () => {
  it('a filter of keys has only what was added, of keys that are not those of pages', () => {
    for (const added of METADATA) {
      const filter = new KeyFilter();
      filter.add(viewOf(added));
      const found = METADATA.filter((key) => filter.mayHave(viewOf(key)));
      expect(found).toEqual([added]);
    }
  });

  it('a filter of keys may have any page, since pages are not added', () => {
    const filter = new KeyFilter();
    expect(filter.mayHave(viewOf(relationBlockKey({ ...FORK, blkno: 0 })))).toBe(true);
    expect(filter.mayHave(viewOf(slruBlockKey({ ...SEGMENT, blkno: 31 })))).toBe(true);
    filter.add(viewOf(relationBlockKey({ ...FORK, blkno: 0 })));
    expect(METADATA.some((key) => filter.mayHave(viewOf(key)))).toBe(false);
  });

  it('a filter of 10,000 sizes forgets none, and has few false positives', () => {
    const filter = new KeyFilter();
    const keyOf = (relnode: number) => viewOf(relationSizeKey({ ...FORK, relnode }));
    for (let at = 0; at < 10_000; at += 1) filter.add(keyOf(16_384 + at));
    let mistaken = 0;
    for (let at = 0; at < 10_000; at += 1) {
      expect(filter.mayHave(keyOf(16_384 + at))).toBe(true);
      if (filter.mayHave(keyOf(26_384 + at))) mistaken += 1;
    }
    expect(mistaken).toBeLessThan(300);
  });
});

function viewOf(key: Key): DataView {
  return new DataView(key.buffer, key.byteOffset, key.length);
}
