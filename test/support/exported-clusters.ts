/** Data directories before an import and after an export, and timelines in between. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32cOf } from '../../src/checksum.ts';
import type { Key, KeyRange } from '../../src/layers/key.ts';
import { formatLayerName } from '../../src/layers/layer-name.ts';
import type { Lsn } from '../../src/layers/lsn.ts';
import type { Value } from '../../src/layers/value-format.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import { UNSHARDED } from '../../src/timeline/tenant-shard.ts';
import { writeDelta } from './layers.ts';

export const TIMELINE_IDS = {
  tenantId: '11223344556677881122334455667788',
  timelineId: '99aabbccddeeff0099aabbccddeeff00',
};

/** Hashes of all files below a directory, by their paths in it; links are followed. */
export function filesBelow(directory: string, relative = ''): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of readdirSync(join(directory, relative)).sort()) {
    const path = relative === '' ? name : `${relative}/${name}`;
    const absolute = join(directory, path);
    if (statSync(absolute).isDirectory()) {
      for (const [inner, hash] of filesBelow(directory, path)) files.set(inner, hash);
    } else files.set(path, createHash('sha256').update(readFileSync(absolute)).digest('hex'));
  }
  return files;
}

/** The file of a prepared transaction, as far as anything but a server looks at it. */
export function twophaseFile(content: string): Uint8Array {
  const bytes = new Uint8Array(8 + content.length + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x57f94534, true);
  view.setUint32(4, bytes.length, true);
  bytes.set(Buffer.from(content), 8);
  view.setUint32(8 + content.length, crc32cOf(bytes.subarray(0, -4)), true);
  return bytes;
}

const ALL_KEYS = { start: new Uint8Array(18) as Key, end: new Uint8Array(18).fill(0xff) as Key };

/** Adds a delta layer with these values at one LSN to a timeline of one shard, which then ends there. Returns: its path. */
export async function addValues(
  bucket: string,
  lsn: Lsn,
  values: readonly { readonly key: Key; readonly value: Value }[],
  keyRange: KeyRange = ALL_KEYS,
): Promise<string> {
  const { tenantId, timelineId } = TIMELINE_IDS;
  const directory = join(bucket, 'tenants', tenantId, 'timelines', timelineId);
  const path = join(directory, 'index_part.json-00000001');
  const index = IndexPart.parse(readFileSync(path));
  const lsnRange = { start: index.fields.metadata.diskConsistentLsn + 1n, end: lsn + 1n };
  const entries = values.map(({ key, value }) => ({ key, lsn, value }));
  const { bytes } = await writeDelta(entries, { ...TIMELINE_IDS, keyRange, lsnRange });
  const name = formatLayerName({ kind: 'delta', keyRange, lsnRange, generation: undefined });
  const layerPath = join(directory, `${name}-00000001`);
  writeFileSync(layerPath, bytes);
  const layers = new Map(index.fields.layers);
  layers.set(name, { fileSize: BigInt(bytes.length), generation: 1, shard: UNSHARDED });
  const metadata = { ...index.fields.metadata, diskConsistentLsn: lsn, prevRecordLsn: lsn - 8n };
  writeFileSync(path, index.with({ layers, metadata }).format());
  return layerPath;
}
