// What a consumer may write against the published types; compiled, never run.

import {
  DeltaLayerWriter,
  isStorageError,
  maximumKey,
  minimumKey,
  openLayer,
  type Value,
} from 'layerfile';
import { BlobReader, BlobWriter, BufferedWriter, bytesSource } from 'layerfile/blob-writer';
import { EphemeralLayer, type LayerEntry, parseLayerName, verifyLayer } from 'layerfile/layers';
import { describeKey, importPgdata } from 'layerfile/postgres';
import { type Choose, MemoryFileSystem } from 'layerfile/testing';
import { IndexPart, LayerMap } from 'layerfile/timeline';
import { OpenFiles, VirtualFile } from 'layerfile/virtual-file';
import { overwriteFile, readDocument } from 'layerfile/write-once';

export async function use(path: string): Promise<LayerEntry | undefined> {
  const openFiles = new OpenFiles({ fileSystem: new MemoryFileSystem(), capacity: 8 });
  const value: Value = { type: 'wal', willInit: true, bytes: new Uint8Array(3) };
  await using writer = await DeltaLayerWriter.create({
    directory: '/',
    tenantId: '00'.repeat(16),
    timelineId: '00'.repeat(16),
    keyRange: { start: minimumKey(), end: maximumKey() },
    lsnRange: { start: 1n, end: 2n },
    openFiles,
  });
  const room: void | Promise<void> = writer.put(minimumKey(), 1n, value);
  await room;
  await writer.finish();
  const file = await VirtualFile.open(path, { read: true, openFiles });
  new BlobWriter(new BufferedWriter(file));
  new BlobReader(
    bytesSource(new Uint8Array(1)),
    { start: 0, end: 1 },
    { maximumLength: 1, maximumWindowSize: 1 },
  );
  const name = parseLayerName('');
  if (name.kind === 'delta') name.lsnRange.start satisfies bigint;
  const meaning = describeKey(minimumKey());
  meaning.kind satisfies string;
  try {
    await overwriteFile(path, 'text');
  } catch (error) {
    if (isStorageError(error, 'io')) error.outcome satisfies string | undefined;
  }
  const choose: Choose = (n) => n - 1;
  new MemoryFileSystem({ intercept: ({ kind }) => ({ fail: kind }) }).crash(choose);
  const index = IndexPart.parse('{}', { path });
  LayerMap.fromNames(index.fields.layers.keys()).search(minimumKey(), 1n)?.lsnFloor satisfies
    | bigint
    | undefined;
  void [EphemeralLayer, importPgdata, readDocument, verifyLayer];
  const reader = await openLayer(path);
  return await reader.get(minimumKey());
}
