import { mkdtemp } from 'node:fs/promises';
import { DeltaLayerWriter, decodeValue, openLayer, parseKey } from 'layerfile';

const writer = await DeltaLayerWriter.create({
  directory: await mkdtemp('layers-'),
  tenantId: '000102030405060708090a0b0c0d0e0f',
  timelineId: 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
  keyRange: {
    start: parseKey('000000067F00000005000040000000000000'),
    end: parseKey('000000067F00000005000040000000000010'),
  },
  lsnRange: { start: 0x1000n, end: 0x2000n },
});
const key = parseKey('000000067F00000005000040000000000007');
await writer.put(key, 0x1008n, { type: 'image', bytes: new Uint8Array(8192) });
await writer.put(key, 0x1010n, { type: 'wal', willInit: false, bytes: Buffer.from('a change') });
const { path } = await writer.finish(); // Durable: synced, named, and the name synced.

const reader = await openLayer(path);
const newest = await reader.get(key);
console.log(newest && decodeValue(newest.bytes).type); // wal
for await (const { lsn, offset, bytes } of reader.entries()) {
  console.log(lsn.toString(16), offset, bytes.length); // 1008 8192 8204, then 1010 16400 25
}
await reader.close();
console.log(`layerfile dump ${path}`);
