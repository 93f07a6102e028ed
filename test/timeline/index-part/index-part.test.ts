/** Indices: what a pageserver wrote, what it makes of variants, and what is written back. */
import { describe, expect, test } from 'vitest';
import { checkIndexPart, isFutureLayer } from '../../../src/timeline/index-part/check.ts';
import { IndexPart } from '../../../src/timeline/index-part/index-part.ts';
import { encodeTimelineMetadata } from '../../../src/write-once/timeline-metadata.ts';
import { goldenIndex, goldenIndexNames } from '../../support/golden-indices.ts';
import { storageErrorThrownBy } from '../../support/storage-errors.ts';

const NAME =
  '00000000000000000000000000000000000A-030000000000000000000000000000000002__0000000001500028';
const METADATA = {
  disk_consistent_lsn: '0/1500028',
  prev_record_lsn: '0/1500000',
  ancestor_timeline: null,
  ancestor_lsn: '0/0',
  latest_gc_cutoff_lsn: '0/1500028',
  initdb_lsn: '0/1500028',
  pg_version: 16,
};
const FRESH = {
  version: 15,
  layer_metadata: { [NAME]: { file_size: 24576, generation: 1 } },
  disk_consistent_lsn: '0/1500028',
  metadata_bytes: METADATA,
  lineage: {},
};
const TIMELINES = ['11111111', '22222222', '33333333'];

describe('an index that a pageserver wrote', () => {
  test.each([
    'branches/11111111',
    'branches/22222222',
    'branches/33333333',
    'pg17/1',
    'pg17/2',
    'sk15/1',
  ])('the index of %s is written again as it was, with the layers by name', (name) => {
    const json = JSON.parse(goldenIndex(name));
    const sorted = Object.entries(json.layer_metadata).sort(([a], [b]) => (a < b ? -1 : 1));
    const index = IndexPart.parse(goldenIndex(name));
    expect(index.format()).toBe(
      JSON.stringify({ ...json, layer_metadata: Object.fromEntries(sorted) }),
    );
    expect(checkIndexPart(index)).toEqual([]);
  });

  test('an index that a pageserver wrote has the values that stand there', () => {
    const { fields, storedDiskConsistentLsn } = IndexPart.parse(JSON.stringify(FRESH));
    expect(fields.layers).toEqual(
      new Map([[NAME, { fileSize: 24576n, generation: 1, shard: { number: 0, count: 0 } }]]),
    );
    expect(fields.metadata).toEqual({
      diskConsistentLsn: 0x1500028n,
      prevRecordLsn: 0x1500000n,
      ancestorTimeline: null,
      ancestorLsn: 0n,
      latestGcCutoffLsn: 0x1500028n,
      initdbLsn: 0x1500028n,
      pgVersion: 16,
    });
    expect(storedDiskConsistentLsn).toBe(0x1500028n);
    expect(fields.relSizeMigration).toBe('legacy');
  });
});

describe('a variant of an index', () => {
  test.each(['v1', 'v2', 'v3', 'v4', 'v6', 'v7', 'v15', 'v99'])(
    'the variant %s of an index has the same metadata',
    (variant) => {
      for (const timeline of TIMELINES) {
        const written = IndexPart.parse(goldenIndex(`branches/${timeline}`)).fields;
        const { fields } = IndexPart.parse(goldenIndex(`variants/${variant}/${timeline}`));
        expect(fields.metadata).toEqual(written.metadata);
        expect(sizes(fields.layers)).toEqual(sizes(written.layers));
        const generation = {
          v1: undefined,
          v2: undefined,
          v3: undefined,
          v4: undefined,
          v15: 1,
          v99: 1,
        };
        const expected = Object.hasOwn(generation, variant) ? generation[variant as 'v15'] : 2;
        expect(new Set([...fields.layers.values()].map((layer) => layer.generation))).toEqual(
          new Set([expected]),
        );
      }
    },
  );

  test.each([
    ['both', 'field metadata_bytes'],
    ['lsn-number', 'field disk_consistent_lsn'],
  ])('the damaged index %s cannot be parsed, and the error names a field', (variant, place) => {
    const broken = goldenIndexNames(`variants/${variant}/`).map((name) =>
      storageErrorOrNone(() => IndexPart.parse(goldenIndex(name), { path: '/index' })),
    );
    const found = broken.filter((error) => error !== undefined);
    expect(found.length).toBeGreaterThan(0);
    for (const error of found) {
      expect(error.code).toBe('corrupt');
      expect(error.path).toBe('/index');
      expect(error.message).toContain(place.replace('field metadata_bytes', 'field metadata'));
    }
  });

  test('dcl-differ has the LSN of the metadata, beyond which layers are dropped', () => {
    const indices = TIMELINES.map((timeline) =>
      IndexPart.parse(goldenIndex(`variants/dcl-differ/${timeline}`)),
    );
    const differing = indices.find(
      (index) => index.storedDiskConsistentLsn !== index.fields.metadata.diskConsistentLsn,
    );
    expect(differing?.fields.metadata.diskConsistentLsn).toBe(0x8000n);
    const findings = differing === undefined ? [] : checkIndexPart(differing);
    expect(findings[0]?.rule).toBe('disk-consistent-lsn');
    const dropped = findings
      .filter(({ rule }) => rule === 'future-layer')
      .map(({ layer }) => layer);
    const names = [...(differing?.fields.layers.keys() ?? [])].sort();
    expect(dropped).toEqual(names.filter((name) => Number.parseInt(name.slice(-16), 16) > 0x8001));
    expect(dropped.length).toBeGreaterThan(0);
  });

  test('gc-blocking-empty keeps the tenant from being attached', () => {
    const findings = goldenIndexNames('variants/gc-blocking-empty/').flatMap((name) =>
      checkIndexPart(IndexPart.parse(goldenIndex(name))),
    );
    expect(findings.map(({ severity, rule }) => [severity, rule])).toContainEqual([
      'error',
      'gc-blocking',
    ]);
  });
});

describe('an index of version 1', () => {
  const index = IndexPart.parse(goldenIndex('variants/v1/22222222'));

  test('an index of version 1 is written in version 15, its metadata as an object, without the list of names', () => {
    const json = JSON.parse(index.format());
    expect(Object.keys(json)).toEqual([
      'version',
      'layer_metadata',
      'disk_consistent_lsn',
      'metadata_bytes',
      'lineage',
    ]);
    expect(json.version).toBe(15);
    expect(json.metadata_bytes.ancestor_timeline).toBe('1'.repeat(32));
  });

  test('an index of version 1 with damaged metadata is refused with the place', () => {
    const bytes = [...encodeTimelineMetadata(index.fields.metadata)];
    bytes[20] = 1 ^ (bytes[20] ?? 0);
    const error = storageErrorThrownBy(() =>
      IndexPart.parse(JSON.stringify({ ...FRESH, metadata_bytes: bytes })),
    );
    expect(error.code).toBe('corrupt');
    expect(error.message).toContain('CRC-32C');
  });
});

describe('fields that are not known', () => {
  const text =
    '{"before":[1,{"x":1.50}],"version":99,"layer_metadata":{"' +
    NAME.toLowerCase() +
    '":{"x":null,"file_size":18446744073709551615,"y":-0}},"between":1e3,"disk_consistent_lsn":"0/1500028",' +
    `"metadata":{"z":true,${JSON.stringify(METADATA).slice(1)},"__proto__":12345678901234567890123,"lineage":{"q":[]}}`;

  test('fields that are not known stay in their places, and every number stays what it is', () => {
    expect(IndexPart.parse(text).format()).toBe(
      text.replace('"metadata":', '"metadata_bytes":').replace(NAME.toLowerCase(), NAME),
    );
  });

  test('fields that are not known stay beside fields that are set', () => {
    const index = IndexPart.parse(text).with({
      archivedAt: '2024-07-19T09:00:00.1230',
      metadata: { initdbLsn: 0x1_0000_0010n },
      relSizeMigratedAt: 8n,
    });
    const json = index.format();
    expect(json).toContain('"version":99,"archived_at":"2024-07-19T09:00:00.123","layer_metadata"');
    expect(json).toContain('"initdb_lsn":"1/10"');
    expect(json).toMatch(/"lineage":\{"q":\[\]\},"rel_size_migrated_at":"0\/8"\}$/);
    expect(IndexPart.parse(json).with({ archivedAt: undefined }).format()).not.toContain(
      'archived_at',
    );
  });

  test('a size above 2^53 is exact', () => {
    expect(IndexPart.parse(text).fields.layers.get(NAME)?.fileSize).toBe(2n ** 64n - 1n);
  });
});

describe('every optional field', () => {
  const full = {
    version: 15,
    deleted_at: '2026-03-25T10:00:00',
    archived_at: '2026-11-29T07:38:53.157308487',
    import_pgdata: {
      V1: {
        Done: {
          idempotency_key: 'k',
          started_at: '2024-07-19T09:00:00.123',
          finished_at: '2024-07-19T09:00:01',
        },
      },
    },
    layer_metadata: { [NAME]: { file_size: 1, generation: 4294967295, shard: '0104' } },
    disk_consistent_lsn: '0/1500028',
    metadata_bytes: METADATA,
    lineage: {
      reparenting_history_truncated: true,
      reparenting_history: ['1'.repeat(32)],
      original_ancestor: ['2'.repeat(32), '16/B374D848', '2024-07-19T09:00:00.123456'],
    },
    gc_blocking: { started_at: '2024-07-19T09:00:00.009', reasons: ['Manual', 'DetachAncestor'] },
    last_aux_file_policy: 'cross-validation',
    rel_size_migration: 'migrating',
    l2_lsn: '0/16960E8',
    gc_compaction: { last_completed_lsn: '0/16960E8' },
    marked_invisible_at: '2024-02-29T23:59:60.5',
    rel_size_migrated_at: '0/16960E8',
  };

  test('every optional field is read, and written in the order of a pageserver', () => {
    const canonical = { ...full, marked_invisible_at: '2024-02-29T23:59:60.500' };
    const index = IndexPart.parse(JSON.stringify(full));
    expect(index.format()).toBe(JSON.stringify(canonical));
    expect(index.fields.lineage.originalAncestor?.lsn).toBe(0x16_b374_d848n);
    expect(index.fields.importPgdata?.state).toBe('done');
    expect(index.fields.gcBlocking?.reasons).toEqual(['Manual', 'DetachAncestor']);
  });

  test('every optional field that is set is written in that order, too', () => {
    const { fields } = IndexPart.parse(JSON.stringify(full));
    const { version: _version, importPgdata: _import, ...changes } = fields;
    const index = IndexPart.parse(JSON.stringify(FRESH)).with(changes);
    const names = Object.keys(JSON.parse(index.format()));
    expect(names).toEqual(Object.keys(full).filter((name) => name !== 'import_pgdata'));
  });

  test('every optional field may be null', () => {
    const optional = Object.keys(full).filter((name) => !Object.hasOwn(FRESH, name));
    const nulls = Object.fromEntries(optional.map((name) => [name, null]));
    const index = IndexPart.parse(JSON.stringify({ ...FRESH, ...nulls }));
    expect(index.format()).toBe(JSON.stringify(FRESH));
  });

  test('every optional field of the policy may have any case', () => {
    const index = IndexPart.parse(
      JSON.stringify({ ...FRESH, last_aux_file_policy: 'Cross-Validation' }),
    );
    expect(index.fields.lastAuxFilePolicy).toBe('cross-validation');
  });

  test.each([
    ['an LSN with blanks around it', ' 0/1500028 '],
    ['an LSN in lower case', '0/1500028'.toLowerCase()],
    ['an LSN with zeros before it', '00000000/01500028'],
  ])('an optional LSN is read: %s', (_, text) => {
    const index = IndexPart.parse(JSON.stringify({ ...FRESH, l2_lsn: text }));
    expect(index.fields.l2Lsn).toBe(0x1500028n);
  });
});

describe('an index is refused with its place', () => {
  const without = (name: string): unknown =>
    Object.fromEntries(Object.entries(FRESH).filter(([key]) => key !== name));
  const entry = (value: unknown): unknown => ({ ...FRESH, layer_metadata: { [NAME]: value } });
  const metadata = (changes: object): unknown => ({
    ...FRESH,
    metadata_bytes: { ...METADATA, ...changes },
  });

  test.each([
    ['without layers', without('layer_metadata'), 'layer_metadata'],
    ['without an LSN', without('disk_consistent_lsn'), 'disk_consistent_lsn'],
    ['without metadata', without('metadata_bytes'), 'metadata_bytes'],
    ['with an LSN of digits', { ...FRESH, l2_lsn: '0000000001500028' }, 'l2_lsn'],
    ['with an LSN of two slashes', { ...FRESH, l2_lsn: '0/1/2' }, 'l2_lsn'],
    ['with an LSN of 9 digits', { ...FRESH, l2_lsn: '0/100000000' }, 'l2_lsn'],
    ['with a time of a zone', { ...FRESH, deleted_at: '2024-07-19T09:00:00Z' }, 'deleted_at'],
    ['with a day that is not there', { ...FRESH, deleted_at: '2023-02-29T09:00:00' }, 'deleted_at'],
    [
      'with a fraction of 10 digits',
      { ...FRESH, deleted_at: '2023-02-28T09:00:00.0123456789' },
      'deleted_at',
    ],
    ['with a layer that is no object', entry(1), `layer_metadata.${NAME}`],
    ['with a layer without a size', entry({}), `layer_metadata.${NAME}.file_size`],
    ['with a negative size', entry({ file_size: -1 }), `layer_metadata.${NAME}.file_size`],
    ['with a size as text', entry({ file_size: '1' }), `layer_metadata.${NAME}.file_size`],
    ['with a size of a fraction', entry({ file_size: 1.5 }), `layer_metadata.${NAME}.file_size`],
    [
      'with a generation above u32',
      entry({ file_size: 1, generation: 2 ** 32 }),
      `layer_metadata.${NAME}.generation`,
    ],
    ['with a shard as number', entry({ file_size: 1, shard: 104 }), `layer_metadata.${NAME}.shard`],
    [
      'with a name that is no layer',
      { ...FRESH, layer_metadata: { x: { file_size: 1 } } },
      'layer_metadata.x',
    ],
    [
      'with an unknown version of Postgres',
      metadata({ pg_version: 18 }),
      'metadata_bytes.pg_version',
    ],
    [
      'with an ancestor of 31 digits',
      metadata({ ancestor_timeline: '1'.repeat(31) }),
      'metadata_bytes.ancestor_timeline',
    ],
    ['with metadata as text', { ...FRESH, metadata_bytes: 'x' }, 'metadata_bytes'],
    ['with a byte above 255', { ...FRESH, metadata_bytes: [256] }, 'metadata_bytes[0]'],
    [
      'with an unknown reason',
      { ...FRESH, gc_blocking: { started_at: '2024-07-19T09:00:00', reasons: ['x'] } },
      'gc_blocking.reasons[0]',
    ],
    [
      'with a migration in upper case',
      { ...FRESH, rel_size_migration: 'Legacy' },
      'rel_size_migration',
    ],
    [
      'with an ancestor of two parts',
      { ...FRESH, lineage: { original_ancestor: ['1'.repeat(32), '0/8'] } },
      'lineage.original_ancestor',
    ],
    [
      'with an import of an unknown version',
      { ...FRESH, import_pgdata: { V2: {} } },
      'import_pgdata.V1',
    ],
    ['with a version as text', { ...FRESH, version: '15' }, 'version'],
  ])('an index %s is refused with its place', (_, json, place) => {
    const error = storageErrorThrownBy(() => IndexPart.parse(JSON.stringify(json)));
    expect(error.code).toBe('corrupt');
    expect(error.message).toMatch(new RegExp(`field ${place.replace(/[.[\]]/g, '\\$&')}(:|$)`));
  });

  test('an index with a layer in two writings is refused with its place', () => {
    const entries = { [NAME]: { file_size: 1 }, [NAME.toLowerCase()]: { file_size: 1 } };
    const error = storageErrorThrownBy(() =>
      IndexPart.parse(JSON.stringify({ ...FRESH, layer_metadata: entries })),
    );
    expect(error.message).toContain('each layer once');
  });
});

describe('an index is not made', () => {
  const index = IndexPart.parse(JSON.stringify(FRESH));
  const layer = { fileSize: 1n, generation: undefined, shard: { number: 0, count: 0 } };

  test.each([
    ['with an LSN above u64', { metadata: { initdbLsn: 1n << 64n } }, 'out-of-range'],
    ['with Postgres 13', { metadata: { pgVersion: 13 } }, 'out-of-range'],
    ['with a time of a zone', { deletedAt: '2024-07-19T09:00:00Z' }, 'invalid-input'],
    [
      'with a size above u64',
      { layers: new Map([[NAME, { ...layer, fileSize: 1n << 64n }]]) },
      'out-of-range',
    ],
    ['with a name that is no layer', { layers: new Map([['x', layer]]) }, 'invalid-input'],
    [
      'with a misspelt field',
      Object.fromEntries([['archiveAt', '2024-07-19T09:00:00']]),
      'invalid-input',
    ],
  ])('a change of an index %s is refused', (_, changes, code) => {
    expect(storageErrorThrownBy(() => index.with(changes)).code).toBe(code);
  });
});

test('a layer lies beyond an LSN if it has something after it', () => {
  const image = (lsn: string): string => `${NAME.slice(0, 73)}__${lsn}`;
  expect(isFutureLayer(image('0000000000000010'), 0x10n)).toBe(false);
  expect(isFutureLayer(image('0000000000000011'), 0x10n)).toBe(true);
  expect(isFutureLayer(image('0000000000000008-0000000000000011'), 0x10n)).toBe(false);
  expect(isFutureLayer(image('0000000000000008-0000000000000012'), 0x10n)).toBe(true);
});

describe('the check of an index finds', () => {
  const rules = (json: unknown, generation?: number): unknown[] =>
    checkIndexPart(IndexPart.parse(JSON.stringify(json)), { generation }).map(
      ({ severity, rule }) => [severity, rule],
    );
  const overlapping = {
    [`${'0'.repeat(36)}-${'F'.repeat(36)}__0000000000000010-0000000000000020`]: { file_size: 1 },
    [`${'0'.repeat(36)}-${'F'.repeat(36)}__0000000000000018-0000000000000028`]: { file_size: 1 },
  };

  test.each([
    ['a version that is not known', { ...FRESH, version: 16 }, ['error', 'version']],
    [
      'an LSN of 0',
      {
        ...FRESH,
        disk_consistent_lsn: '0/0',
        metadata_bytes: { ...METADATA, disk_consistent_lsn: '0/0' },
      },
      ['error', 'disk-consistent-lsn'],
    ],
    ['no layers and no ancestor', { ...FRESH, layer_metadata: {} }, ['error', 'no-layers']],
    [
      'a layer of 0 bytes',
      { ...FRESH, layer_metadata: { [NAME]: { file_size: 0 } } },
      ['error', 'empty-layer'],
    ],
    ['deltas that overlap', { ...FRESH, layer_metadata: overlapping }, ['warning', 'layer-map']],
  ])('the check of an index finds %s', (_, json, finding) => {
    expect(rules(json)).toContainEqual(finding);
  });

  test('a layer of a generation above that of the index', () => {
    expect(rules(FRESH, 1)).toEqual([]);
    expect(rules(FRESH, 0)).toEqual([['error', 'future-generation']]);
  });
});

function sizes(layers: IndexPart['fields']['layers']): Map<string, bigint> {
  return new Map([...layers].sort().map(([name, { fileSize }]) => [name, fileSize]));
}

function storageErrorOrNone(
  action: () => unknown,
): ReturnType<typeof storageErrorThrownBy> | undefined {
  try {
    action();
    return undefined;
  } catch {
    return storageErrorThrownBy(action);
  }
}
