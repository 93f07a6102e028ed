import { describe, expect, it } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { type Key, nextKey } from '../../src/layers/key.ts';
import type { Value } from '../../src/layers/value-format.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { relationBlockKey, relationSizeKey, slruBlockKey } from '../../src/postgres/key-mapping.ts';
import { PageChecks } from '../../src/postgres/page-checks.ts';
import { checksummed, pages, temporaryDirectory } from './fabricated-cluster.ts';

const RELATION = { spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main' } as const;
const block = (blkno: number): Key => relationBlockKey({ ...RELATION, blkno });
const good = (blkno: number): Uint8Array => checksummed(pages(1, blkno), blkno);
const flipped = (blkno: number): Uint8Array => good(blkno).fill(1, 4000, 4001);

describe('checksums of pages in a delta layer', () => {
  it('checksums of pages in a delta layer are checked only in images of blocks', async () => {
    const record = { type: 'wal', willInit: false, bytes: flipped(3) } as const;
    const path = await write([
      [block(0), { type: 'image', bytes: good(0) }],
      [block(1), { type: 'image', bytes: flipped(1) }],
      [block(2), { type: 'image', bytes: new Uint8Array(8192) }],
      [block(3), record],
      [block(4), { type: 'image', bytes: good(4).fill(0, 8, 10) }],
      [block(5), { type: 'image', bytes: flipped(5).subarray(1) }],
      [relationSizeKey(RELATION), { type: 'image', bytes: new Uint8Array(4) }],
      [slruBlockKey({ slru: 'clog', segno: 0, blkno: 0 }), { type: 'image', bytes: flipped(0) }],
    ]);
    const checks = new PageChecks();
    const report = await verifyLayer(path, { inspectValue: checks.inspect });
    expect(checks.counts).toEqual({ good: 1, bad: 1, new: 1, without: 1 });
    expect(report).toMatchObject({
      ok: false,
      entries: 8,
      errors: 1,
      findings: [
        {
          code: 'corrupt',
          key: '000000067F00000005000040000000000001',
          lsn: '0000000000001000',
          message: expect.stringMatching(/^page checksum of block 1 at offset \d+ .*expected 0x/),
        },
      ],
    });
    expect((await verifyLayer(path)).ok).toBe(true);
  });

  it('checksums of pages in a delta layer in the place of another block are wrong', async () => {
    const checks = new PageChecks();
    const path = await write([[block(8), { type: 'image', bytes: good(7) }]]);
    expect((await verifyLayer(path, { inspectValue: checks.inspect })).errors).toBe(1);
  });
});

async function write(entries: readonly (readonly [Key, Value])[]): Promise<string> {
  const keys = entries.map(([key]) => key);
  const writer = await DeltaLayerWriter.create({
    directory: temporaryDirectory(),
    tenantId: '11'.repeat(16),
    timelineId: '22'.repeat(16),
    keyRange: { start: keys[0] as Key, end: nextKey(keys.at(-1) as Key) },
    lsnRange: { start: 0x1000n, end: 0x2000n },
  });
  for (const [key, value] of entries) await writer.put(key, 0x1000n, value);
  const { path } = await writer.finish();
  return path;
}
