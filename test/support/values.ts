/** Random values of every type. */
import fc from 'fast-check';
import type { Value } from '../../src/layers/value-format.ts';

export function valuesOfEveryType(bytes = fc.uint8Array({ maxLength: 200 })): fc.Arbitrary<Value> {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
  const i64 = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
  const optionalU32 = fc.option(u32, { nil: null });
  const xids = fc.array(u32, { maxLength: 20 });
  return fc.oneof(
    fc.record({ type: fc.constant('image' as const), bytes }),
    fc.record({ type: fc.constant('wal' as const), willInit: fc.boolean(), bytes }),
    fc.record({
      type: fc.constant('clear_vm' as const),
      newHeapBlock: optionalU32,
      oldHeapBlock: optionalU32,
      flags: fc.integer({ min: 0, max: 255 }),
    }),
    fc.record({ type: fc.constant('clog_set_committed' as const), xids, timestamp: i64 }),
    fc.record({ type: fc.constant('clog_set_aborted' as const), xids }),
    fc.record({
      type: fc.constant('multixact_offset_create' as const),
      multixactId: u32,
      multixactOffset: u32,
    }),
    fc.record({
      type: fc.constant('multixact_members_create' as const),
      multixactOffset: u32,
      members: fc.array(fc.record({ xid: u32, status: u32 }), { maxLength: 10 }),
    }),
    fc.record({
      type: fc.constant('aux_file' as const),
      path: fc.string({ unit: 'grapheme', maxLength: 30 }),
      content: fc.option(bytes, { nil: null }),
    }),
    fc.record({ type: fc.constant('truncate_vm' as const), truncByte: u64, truncOffset: u64 }),
  );
}
