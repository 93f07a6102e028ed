/** Indices that are rebuilt, compared, and written beside old ones. */
import { describe, expect, test } from 'vitest';
import { crashStates } from '../../../src/testing/crash-states.ts';
import { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { diffIndexParts } from '../../../src/timeline/index-part/diff.ts';
import { writeIndexPart } from '../../../src/timeline/index-part/index-file.ts';
import { IndexPart } from '../../../src/timeline/index-part/index-part.ts';
import { rebuildIndexPart } from '../../../src/timeline/index-part/rebuild.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { goldenIndex } from '../../support/golden-indices.ts';
import { storageErrorOf, storageErrorThrownBy } from '../../support/storage-errors.ts';

const written = IndexPart.parse(goldenIndex('pg17/2'));
const [name = '', layer] = [...written.fields.layers][0] ?? [];

describe('a rebuilt index', () => {
  test('an index rebuilt from the layers of a pageserver equals the original, except for what names do not contain', () => {
    const listing = [...written.fields.layers].map(([layerName, entry]) => ({
      name: layerName,
      size: entry.fileSize,
      generation: entry.generation,
    }));
    const { metadata } = written.fields;
    const { index, derived, superseded } = rebuildIndexPart(listing, {
      pgVersion: 17,
      prevRecordLsn: metadata.prevRecordLsn,
    });
    expect(diffIndexParts(written, index)).toEqual([]);
    expect(derived).toEqual([
      'diskConsistentLsn',
      'ancestorTimeline',
      'ancestorLsn',
      'latestGcCutoffLsn',
      'initdbLsn',
    ]);
    expect(superseded).toEqual([]);
  });

  test('a rebuilt index has a layer of several generations in the highest', () => {
    const copies = [2, undefined, 3].map((generation, size) => ({ name, size, generation }));
    const { index, superseded } = rebuildIndexPart(copies, { pgVersion: 17 });
    expect(index.fields.layers.get(name)).toMatchObject({ fileSize: 2n, generation: 3 });
    expect(superseded.map(({ generation }) => generation)).toEqual([undefined, 2]);
  });

  test.each([
    ['of nothing', [], 'empty'],
    ['of a name that is no layer', [{ name: 'x', size: 1 }], 'invalid-input'],
    ['of a size that is none', [{ name, size: -1 }], 'invalid-input'],
  ])('making an index %s is refused', (_, listing, code) => {
    expect(storageErrorThrownBy(() => rebuildIndexPart(listing, { pgVersion: 17 })).code).toBe(
      code,
    );
  });
});

describe('the differences of two indices', () => {
  test('the differences of two indices are those of fields within objects, and of layers', () => {
    const layers = new Map(written.fields.layers);
    layers.delete(name);
    const changed = written.with({ layers, metadata: { initdbLsn: 8n }, gcCompactionLsn: 16n });
    const differences = diffIndexParts(written, changed);
    expect(differences).toEqual([
      { kind: 'field', field: 'metadata_bytes.initdb_lsn', a: '0/27076A0', b: '0/8' },
      { kind: 'field', field: 'gc_compaction', a: undefined, b: { last_completed_lsn: '0/10' } },
      {
        kind: 'layer',
        name,
        a: { file_size: Number(layer?.fileSize), generation: layer?.generation },
        b: undefined,
      },
    ]);
  });

  test('the differences of two indices do not depend on the order of the fields', () => {
    const text = goldenIndex('sk15/1').replace(
      /"file_size":(\d+),"generation":1/g,
      '"generation":1,"file_size":$1',
    );
    expect(text).not.toBe(goldenIndex('sk15/1'));
    expect(diffIndexParts(IndexPart.parse(text), IndexPart.parse(goldenIndex('sk15/1')))).toEqual(
      [],
    );
  });
});

describe('an index that is written', () => {
  const disk = new MemoryFileSystem();
  disk.createDirectory('/t');
  const openFiles = new OpenFiles({ fileSystem: disk });
  const place = { directory: '/t', openFiles };

  test('an index that is written is complete or not there after any crash, and the old one never changes', async () => {
    await writeIndexPart(written, { ...place, generation: 2 });
    const before = disk.contentOf('/t/index_part.json-00000002');
    const changed = written.with({ archivedAt: '2026-01-02T03:04:05' });
    expect(await writeIndexPart(changed, { ...place, generation: 3 })).toBe(
      '/t/index_part.json-00000003',
    );
    let states = 0;
    for (const { disk: after } of crashStates(disk)) {
      states += 1;
      expect(after.contentOf('/t/index_part.json-00000003')).toEqual(
        new TextEncoder().encode(changed.format()),
      );
      expect(after.contentOf('/t/index_part.json-00000002')).toEqual(before);
    }
    expect(states).toBeGreaterThan(0);
  });

  test('an index that is written does not replace one of its generation', async () => {
    const error = await storageErrorOf(writeIndexPart(written, { ...place, generation: 3 }));
    expect(error.code).toBe('exists');
    expect(error.outcome).toBe('not-applied');
    await expect(disk.readDirectory('/t')).resolves.toHaveLength(2);
  });

  test('an index that is written leaves nothing if it is aborted', async () => {
    const signal = AbortSignal.abort();
    const error = await storageErrorOf(
      writeIndexPart(written, { ...place, generation: 4, signal }),
    );
    expect(error.code).toBe('aborted');
    await expect(disk.readDirectory('/t')).resolves.toHaveLength(2);
  });
});
