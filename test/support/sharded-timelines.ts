/** Cuts the timelines of a tenant into shards, as they would be if each shard had only its own keys. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { nameOfSummary } from '../../src/layers/layer-file/summary.ts';
import { formatLayerName } from '../../src/layers/layer-name.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { decodeValue } from '../../src/layers/value-format.ts';
import { type Sharding, shardKeeps } from '../../src/timeline/shard-owner.ts';
import { drain, writeDelta, writeImages } from './layers.ts';

export interface ShardedCopy {
  /** Has `tenants/` below it. */
  readonly source: string;
  readonly target: string;
  readonly tenantId: string;
  readonly sharding: Sharding;
}

/** Layers without a key of a shard are left out, and so is what is neither a layer nor an index. */
export async function copySharded({ source, target, tenantId, sharding }: ShardedCopy) {
  const timelines = join(source, 'tenants', tenantId, 'timelines');
  for (let shardNumber = 0; shardNumber < sharding.count; shardNumber += 1) {
    const shard = Buffer.from([shardNumber, sharding.count]).toString('hex');
    const directory = join(target, 'tenants', `${tenantId}-${shard}`);
    await mkdir(directory, { recursive: true });
    const manifest = { version: 2, stripe_size: sharding.stripeSize, offloaded_timelines: [] };
    await writeFile(join(directory, 'tenant-manifest-00000001.json'), JSON.stringify(manifest));
    for (const timeline of await readdir(timelines)) {
      const place = { from: join(timelines, timeline), to: join(directory, 'timelines', timeline) };
      await copyTimeline(place, { sharding, shardNumber, shard });
    }
  }
}

async function copyTimeline(
  { from, to }: { readonly from: string; readonly to: string },
  about: { readonly sharding: Sharding; readonly shardNumber: number; readonly shard: string },
): Promise<void> {
  await mkdir(to, { recursive: true });
  const names = await readdir(from);
  const sizes = new Map<string, number>();
  for (const name of names.filter((found) => !found.startsWith('index_part'))) {
    const layer = await shardOfLayer(join(from, name), about);
    if (layer === undefined) continue;
    await writeFile(join(to, name), layer.bytes);
    sizes.set(layer.name, layer.bytes.length);
  }
  const index = names.find((name) => name.startsWith('index_part')) as string;
  const content = JSON.parse(await readFile(join(from, index), 'utf8'));
  for (const [name, layer] of Object.entries<object>(content.layer_metadata)) {
    const size = sizes.get(name);
    if (size === undefined) delete content.layer_metadata[name];
    else Object.assign(layer, { file_size: size, shard: about.shard });
  }
  await writeFile(join(to, basename(index)), JSON.stringify(content));
}

async function shardOfLayer(
  path: string,
  { sharding, shardNumber }: { readonly sharding: Sharding; readonly shardNumber: number },
): Promise<{ readonly name: string; readonly bytes: Uint8Array } | undefined> {
  await using reader = await openLayer(path);
  const { summary } = reader;
  const entries = await drain(reader.entries());
  const kept = entries.filter(({ key }) => shardKeeps(key, sharding, shardNumber));
  if (kept.length === 0) return undefined;
  const { tenantId, timelineId, keyRange } = summary;
  const ids = { tenantId, timelineId, keyRange };
  const { bytes } =
    summary.kind === 'image'
      ? await writeImages(
          kept.map(({ key, bytes: image }) => ({ key, image })),
          { ...ids, lsn: summary.lsn },
        )
      : await writeDelta(
          kept.map(({ key, lsn, bytes: value }) => ({ key, lsn, value: decodeValue(value) })),
          { ...ids, lsnRange: summary.lsnRange },
        );
  return { name: formatLayerName(nameOfSummary(summary)), bytes };
}
