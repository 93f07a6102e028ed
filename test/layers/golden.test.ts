/** Layers as Neon's own writer wrote them: our writer makes the same bytes, our reader reads them. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { ImageLayerWriter } from '../../src/layers/image-layer/writer.ts';
import { fitsPageserver, formatKey, parseKey } from '../../src/layers/key.ts';
import { formatLsn, parseLsn } from '../../src/layers/lsn.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { decodeValue, encodeValue, valueWillInit } from '../../src/layers/value-format.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import type { Compression } from '../../src/zstd/compression.ts';
import { goldenLayers, inputEntries, type LayerManifest } from '../support/golden.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describe.each(goldenLayers())('$manifest.case', ({ manifest, path }) => {
  const isZstd = manifest.compression?.startsWith('zstd') ?? false;

  it('a golden layer is written byte for byte', async () => {
    const finished = await writeLayer(manifest, temporaryDirectory());
    const file = readFileSync(finished.path);
    expect(finished.name.replace(/-v1-.*/, '')).toBe(manifest.file.replace(/-v1-.*/, ''));
    expect(finished.name).toBe(manifest.file);
    expect(finished.entryCount).toBe(manifest.dump.length);
    if (manifest.compression === 'zstd(none)') {
      // Level 3 differs between versions of libzstd: everything but the compressed bytes agrees.
      expect(await logicalContent(finished.path)).toEqual(await logicalContent(path));
    } else {
      expect(finished.size).toBe(manifest.size);
      expect(createHash('sha256').update(file).digest('hex')).toBe(manifest.sha256);
    }
  });

  it('a golden layer has the index nodes that Neon gives it', async () => {
    const finished = await writeLayer(manifest, temporaryDirectory());
    for (const layer of [path, finished.path]) {
      await using reader = await openLayer(layer);
      const nodes = [];
      for await (const block of reader.indexBlocks()) {
        if (block.kind === 'damaged') throw block.error;
        nodes.push({
          num_children: block.entryCount,
          level: block.level,
          prefix_len: block.prefixLength,
          suffix_len: block.suffixLength,
        });
      }
      expect(nodes).toEqual(manifest.index.nodes);
      expect(nodes.length).toBe(manifest.index.blocks);
    }
  });

  it('a golden layer is read as Neon reads it', async () => {
    await using reader = await openLayer(path);
    const entries = [];
    for await (const entry of reader.entries()) {
      const isDelta = reader.summary.kind === 'delta';
      entries.push({
        key: formatKey(entry.key),
        lsn: formatLsn(entry.lsn),
        off: entry.offset,
        stored_len: entry.storedLength,
        len: entry.bytes.length,
        will_init: entry.willInit,
        type: isDelta ? decodeValue(entry.bytes).type : 'image',
        ...(isDelta ? {} : { compressed: entry.compressed }),
        content: createHash('sha256').update(entry.bytes).digest('hex'),
      });
    }
    expect(entries).toEqual(
      manifest.dump.map(({ hex, sha256, ...dumped }) => ({
        ...without(dumped, 'value'),
        content: sha256 ?? sha256Of(hex ?? ''),
      })),
    );
  });

  it('a golden layer gives each entry by its key and LSN, backwards and one by one', async () => {
    await using reader = await openLayer(path);
    const backwards = [];
    for await (const entry of reader.entries({ reverse: true })) {
      backwards.push([formatKey(entry.key), formatLsn(entry.lsn), entry.offset]);
    }
    expect(backwards).toEqual(manifest.dump.map(({ key, lsn, off }) => [key, lsn, off]).reverse());
    for (const { key, lsn, off, len } of manifest.dump) {
      const entry = await reader.get(parseKey(key), parseLsn(lsn));
      expect(entry).toMatchObject({ offset: off, lsn: parseLsn(lsn) });
      expect(entry?.bytes.length).toBe(len);
    }
  });

  it('a golden layer has values that encode to the bytes they were decoded from', async () => {
    if (manifest.kind === 'image') return expect(isZstd || manifest.compression).toBeTruthy();
    await using reader = await openLayer(path);
    for await (const { bytes, willInit } of reader.entries()) {
      const value = decodeValue(bytes);
      expect(Buffer.compare(encodeValue(value), bytes)).toBe(0);
      expect(valueWillInit(value)).toBe(willInit);
    }
  });

  it('a golden layer has nothing that verifying finds, but for keys that a pageserver cannot hold', async () => {
    const unfit = manifest.dump.filter(({ key }) => !fitsPageserver(parseKey(key)));
    const { findings, ...counts } = await verifyLayer(path);
    expect(findings.map(({ code, key }) => [code, key])).toEqual(
      unfit.map(({ key }) => ['out-of-range', key]),
    );
    expect(counts).toMatchObject({
      ok: unfit.length === 0,
      errors: unfit.length,
      warnings: 0,
      entries: manifest.dump.length,
      bytes: manifest.size,
    });
  });
});

async function writeLayer(manifest: LayerManifest, directory: string) {
  const { header } = manifest;
  const common = {
    directory,
    tenantId: header.tenant_id,
    timelineId: header.timeline_id,
    keyRange: { start: parseKey(header.key_start), end: parseKey(header.key_end) },
    generation: /-v1-(.{8})$/.exec(manifest.file)?.[1],
  };
  if (manifest.kind === 'delta') {
    const lsnRange = {
      start: parseLsn(header.lsn_start ?? ''),
      end: parseLsn(header.lsn_end ?? ''),
    };
    await using writer = await DeltaLayerWriter.create({ ...common, lsnRange, keyCheck: 'ignore' });
    for (const { key, lsn, value } of inputEntries(manifest)) await writer.put(key, lsn, value);
    return await writer.finish();
  }
  const lsn = parseLsn(header.lsn ?? '');
  const compression = compressionOf(manifest);
  await using writer = await ImageLayerWriter.create({ ...common, lsn, compression });
  for (const { key, value } of inputEntries(manifest)) {
    if (value.type === 'image') await writer.put(key, value.bytes);
  }
  return await writer.finish();
}

function compressionOf(manifest: LayerManifest): Compression {
  switch (manifest.compression) {
    case 'zstd(1)':
      return { kind: 'zstd', level: 1 };
    case 'zstd(none)':
      return { kind: 'zstd', level: 3 };
    default:
      return { kind: 'none' };
  }
}

async function logicalContent(path: string) {
  await using reader = await openLayer(path);
  const entries = [];
  for await (const { key, lsn, compressed, bytes } of reader.entries()) {
    entries.push([formatKey(key), lsn, compressed, sha256Of(Buffer.from(bytes).toString('hex'))]);
  }
  return { entries, statistics: (await reader.statistics()).indexBlockCount };
}

function sha256Of(hex: string): string {
  return createHash('sha256').update(Buffer.from(hex, 'hex')).digest('hex');
}

function without<T extends object>(object: T, name: string): Partial<T> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name)) as Partial<T>;
}
