/**
 * A CSV file of page images (block number, hex digits) becomes an image layer, and the layer CSV again.
 *
 *   node csv-and-back.mjs pages.csv
 *
 * Rows may come in any order; a layer requires them in the order of their keys.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { ImageLayerWriter, openLayer } from 'layerfile';
import { keyFields, keyFromFields, nextKey } from 'layerfile/layers';

const [source] = process.argv.slice(2);

/** The main fork of one relation: tablespace 1663, database 5, relation 16384. */
const blockKey = (block) =>
  keyFromFields({ field1: 0, field2: 1663, field3: 5, field4: 16384, field5: 0, field6: block });

const [, ...lines] = (await readFile(source, 'utf8')).trim().split('\n');
const rows = lines
  .map((line) => line.split(','))
  .map(([block, hex]) => ({ block: Number(block), bytes: Buffer.from(hex, 'hex') }))
  .sort((left, right) => left.block - right.block);

const writer = await ImageLayerWriter.create({
  directory: '.',
  tenantId: '000102030405060708090a0b0c0d0e0f',
  timelineId: 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
  keyRange: { start: blockKey(rows[0].block), end: nextKey(blockKey(rows.at(-1).block)) },
  lsn: 0x1696000n,
});
for (const { block, bytes } of rows) await writer.put(blockKey(block), bytes);
const { path, entryCount } = await writer.finish();
console.log(`${entryCount} images in ${path}`);

const reader = await openLayer(path);
const csv = ['block,hex'];
for await (const { key, bytes } of reader.entries()) {
  csv.push(`${keyFields(key).field6},${Buffer.from(bytes).toString('hex')}`);
}
await reader.close();
await writeFile('back.csv', `${csv.join('\n')}\n`);
console.log(csv.join('\n'));
