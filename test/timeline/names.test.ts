/** Names of objects and files of a timeline, and which of several generations counts. */
import { describe, expect, test } from 'vitest';
import { chooseIndex, chooseManifest } from '../../src/timeline/chosen-generation.ts';
import {
  compareGenerations,
  formatGenerationSuffix,
  nextGeneration,
  parseGeneration,
} from '../../src/timeline/generation.ts';
import {
  formatLocalLayerName,
  parseLocalTenantsEntry,
  parseLocalTimelineFile,
  parseLocalTimelinesEntry,
} from '../../src/timeline/local-name.ts';
import {
  parseRemotePath,
  parseTimelineObject,
  remoteHeatmapPath,
  remoteIndexPath,
  remoteInitdbPath,
  remoteLayerPath,
  remoteManifestPath,
} from '../../src/timeline/remote-path.ts';
import {
  formatShardIndex,
  formatTenantShard,
  parseShardIndex,
  parseTenantShard,
  UNSHARDED,
} from '../../src/timeline/tenant-shard.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const T = '1f359dd625e519a1a4e8d7509690f6fc';
const TL = '5c4d0a1b2c3d4e5f60718293a4b5c697';
const IMAGE =
  '000000000000000000000000000000000000-030000000000000000000000000000000002__0000000001500028';
const DELTA =
  '000000000000000000000000000000000000-FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF__0000000001696070-00000000016960E9';
const SHARD = { number: 1, count: 4 };
const PLACE = { tenantId: T, shard: SHARD, timelineId: TL };

describe('a path in remote storage', () => {
  test.each([
    [
      remoteIndexPath(PLACE, 10),
      `tenants/${T}-0104/timelines/${TL}/index_part.json-0000000a`,
      { kind: 'timeline', timelineId: TL, object: { kind: 'index', generation: 10 } },
    ],
    [
      remoteIndexPath(PLACE, undefined),
      `tenants/${T}-0104/timelines/${TL}/index_part.json`,
      { kind: 'timeline', timelineId: TL, object: { kind: 'index', generation: undefined } },
    ],
    [
      remoteLayerPath({ place: PLACE, name: IMAGE, generation: 1, shard: SHARD }),
      `tenants/${T}-0104/timelines/${TL}/${IMAGE}-00000001`,
      { kind: 'timeline', timelineId: TL, object: { kind: 'layer', name: IMAGE, generation: 1 } },
    ],
    [
      remoteLayerPath({ place: PLACE, name: `${DELTA}-v1-00000005`, shard: SHARD }),
      `tenants/${T}-0104/timelines/${TL}/${DELTA}`,
      {
        kind: 'timeline',
        timelineId: TL,
        object: { kind: 'layer', name: DELTA, generation: undefined },
      },
    ],
    [
      remoteManifestPath(PLACE, 3),
      `tenants/${T}-0104/tenant-manifest-00000003.json`,
      { kind: 'manifest', generation: 3 },
    ],
    [
      remoteManifestPath(PLACE, undefined),
      `tenants/${T}-0104/tenant-manifest.json`,
      { kind: 'manifest', generation: undefined },
    ],
    [remoteHeatmapPath(PLACE), `tenants/${T}-0104/heatmap-v1.json`, { kind: 'heatmap' }],
  ])('the path %s is parsed to what it was made of', (path, wanted, parsed) => {
    expect(path).toBe(wanted);
    expect(parseRemotePath(path)).toEqual({ tenantId: T, shard: SHARD, ...parsed });
  });

  test('a path in remote storage of a layer that a parent shard wrote lies below the parent', () => {
    const path = remoteLayerPath({
      place: PLACE,
      name: IMAGE,
      generation: 2,
      shard: { number: 0, count: 1 },
    });
    expect(path).toBe(`tenants/${T}-0001/timelines/${TL}/${IMAGE}-00000002`);
    const unsharded = remoteLayerPath({ place: PLACE, name: IMAGE, generation: 2 });
    expect(unsharded).toBe(`tenants/${T}/timelines/${TL}/${IMAGE}-00000002`);
  });

  test('a path in remote storage of the archive of a cluster has no shard', () => {
    expect(remoteInitdbPath(PLACE)).toBe(`tenants/${T}/timelines/${TL}/initdb.tar.zst`);
    const path = remoteInitdbPath(PLACE, 'initdb-preserved');
    expect(path).toBe(`tenants/${T}/timelines/${TL}/initdb-preserved.tar.zst`);
    expect(parseRemotePath(path)).toEqual({
      tenantId: T,
      shard: UNSHARDED,
      kind: 'timeline',
      timelineId: TL,
      object: { kind: 'initdb-preserved' },
    });
  });

  test.each([
    [`tenants/${T}/tenant-manifest-3.json`],
    [`tenants/${T}/tenant-manifest-0000000A.json`],
    [`tenants/${T}/timelines/${TL.slice(1)}/index_part.json`],
    [`tenants/${T}/timelines/${TL}/deeper/index_part.json`],
    [`tenants/${T}/notes`],
  ])('the path %s is parsed as one of an unknown object', (path) => {
    expect(parseRemotePath(path).kind).toBe('unknown');
  });

  test.each([
    [''],
    ['tenants'],
    [`tenants/${T}`],
    [`tenants/${T}-1/x`],
    [`x/${T}/y`],
    ['tenants/../y'],
  ])('the path %j is refused as one in remote storage', (path) => {
    expect(storageErrorThrownBy(() => parseRemotePath(path)).code).toBe('invalid-input');
  });
});

describe('an object of a timeline', () => {
  test.each([
    ['index_part.json-0A', { kind: 'index', generation: 10 }],
    ['index_part.json-00000000000a', { kind: 'index', generation: 10 }],
    ['index_part.json-', { kind: 'unknown', name: 'index_part.json-' }],
    ['index_part.json-100000000', { kind: 'unknown', name: 'index_part.json-100000000' }],
    ['index_part.json-1-2', { kind: 'unknown', name: 'index_part.json-1-2' }],
    ['index_part.json.bak', { kind: 'unknown', name: 'index_part.json.bak' }],
    ['initdb.tar.zst', { kind: 'initdb' }],
    // 8 digits after an image are its generation, though a delta might end so.
    [`${IMAGE}-FFFFFFFF`, { kind: 'layer', name: IMAGE, generation: 0xffff_ffff }],
    [`${IMAGE.toLowerCase()}-00000001`, { kind: 'layer', name: IMAGE, generation: 1 }],
    [`${IMAGE}-0000000g`, { kind: 'unknown', name: `${IMAGE}-0000000g` }],
    [`${IMAGE}-00000001-00000002`, { kind: 'unknown', name: `${IMAGE}-00000001-00000002` }],
    ['notes.txt', { kind: 'unknown', name: 'notes.txt' }],
  ])('an object of a timeline is recognized by the name %s', (name, wanted) => {
    expect(parseTimelineObject(name)).toEqual(wanted);
  });
});

describe('a file in the directory of a timeline', () => {
  test.each([
    [`${IMAGE}-v1-00000002`, { kind: 'layer', name: IMAGE, generation: 2 }],
    [DELTA, { kind: 'layer', name: DELTA, generation: undefined }],
    // A layer name may end in -v and anything.
    [`${IMAGE}-v1-00000002.1.temp_download`, { kind: 'layer', name: IMAGE, generation: undefined }],
    [`${IMAGE}.1.temp_download`, { kind: 'leftover', what: 'download' }],
    [`${IMAGE}.1f.___temp`, { kind: 'leftover', what: 'temporary' }],
    ['ephemeral-4294967295', { kind: 'leftover', what: 'ephemeral' }],
    ['ephemeral-4294967296', { kind: 'unknown' }],
    ['ephemeral-1a', { kind: 'unknown' }],
    ['metadata.old', { kind: 'leftover', what: 'old' }],
    ['metadata', { kind: 'unknown' }],
    [`${IMAGE}.download`, { kind: 'unknown' }],
    ['initdb.tar.zst', { kind: 'unknown' }],
  ])('a file of a timeline is recognized by the name %s', (name, wanted) => {
    expect(parseLocalTimelineFile(name)).toEqual(wanted);
  });

  test('a file in the directory of a timeline is named after its layer and its generation', () => {
    expect(formatLocalLayerName(`${IMAGE.toLowerCase()}-v1-00000009`, 2)).toBe(
      `${IMAGE}-v1-00000002`,
    );
    expect(formatLocalLayerName(IMAGE, undefined)).toBe(IMAGE);
  });
});

describe('an entry of timelines/ and of tenants/', () => {
  test.each([
    [TL, { kind: 'timeline', timelineId: TL }],
    [TL.toUpperCase(), { kind: 'timeline', timelineId: TL }],
    [`basebackup-${TL}.___temp`, { kind: 'leftover' }],
    [`initdb.tar.zst.download-${TL}.___temp`, { kind: 'leftover' }],
    [`${TL}.___uninit`, { kind: 'unknown' }],
  ])('the entry timelines/%s is recognized by its name', (name, wanted) => {
    expect(parseLocalTimelinesEntry(name)).toEqual(wanted);
  });

  test.each([
    [T, { kind: 'tenant', tenantId: T, shard: UNSHARDED }],
    [`${T}-0104`, { kind: 'tenant', tenantId: T, shard: SHARD }],
    [`${T}.aB3dE5fG___temp`, { kind: 'leftover' }],
    [`${T}-01`, { kind: 'unknown' }],
  ])('the entry tenants/%s is recognized by its name', (name, wanted) => {
    expect(parseLocalTenantsEntry(name)).toEqual(wanted);
  });
});

describe('a tenant-shard id', () => {
  test('a tenant-shard id of one shard of one differs from that of no shards in the name only', () => {
    expect(formatTenantShard({ tenantId: T, shard: { number: 0, count: 1 } })).toBe(`${T}-0001`);
    expect(formatTenantShard({ tenantId: T, shard: UNSHARDED })).toBe(T);
    expect(parseTenantShard(`${T}-0001`).shard).toEqual({ number: 0, count: 1 });
  });

  test.each([['010'], ['01041'], ['01g4'], ['']])(
    'a tenant-shard id with the shard %j is refused',
    (text) => {
      expect(storageErrorThrownBy(() => parseShardIndex(text)).code).toBe('invalid-input');
      expect(storageErrorThrownBy(() => parseTenantShard(`${T}-${text}`)).code).toBe(
        'invalid-input',
      );
    },
  );

  test('a tenant-shard id holds numbers up to 255', () => {
    expect(formatShardIndex({ number: 254, count: 255 })).toBe('feff');
    const error = storageErrorThrownBy(() => formatShardIndex({ number: 256, count: 255 }));
    expect(error.code).toBe('invalid-input');
  });
});

describe('generations', () => {
  test('generations begin with none, and none is followed by 1', () => {
    // Array.sort puts undefined last by itself.
    const sorted = [{ of: 1 }, { of: undefined }, { of: 0 }].sort((a, b) =>
      compareGenerations(a.of, b.of),
    );
    expect(sorted.map(({ of }) => of)).toEqual([undefined, 0, 1]);
    expect(compareGenerations(undefined, 0)).toBeLessThan(0);
    expect(nextGeneration(undefined)).toBe(1);
    expect(nextGeneration(0)).toBe(1);
    expect(nextGeneration(0xffff_ffff)).toBeUndefined();
  });

  test('generations are written with 8 digits and read with any number', () => {
    expect(formatGenerationSuffix(10)).toBe('-0000000a');
    expect(formatGenerationSuffix(undefined)).toBe('');
    expect(parseGeneration('0000000000FF')).toBe(255);
    expect(parseGeneration('1ffffffff')).toBe('invalid');
    expect(parseGeneration('')).toBe('invalid');
  });
});

describe('the index that counts', () => {
  const NAMES = [
    'index_part.json',
    'index_part.json-00000002',
    'notes',
    'index_part.json-0000000a',
    'index_part.json-00000007',
  ];

  test.each([
    ['for a pageserver attached in the generation of one', 7, 'index_part.json-00000007'],
    ['for the generation after one', 8, 'index_part.json-00000007'],
    ['for a later generation, with higher ones ignored', 9, 'index_part.json-00000007'],
    ['for a generation below all', 1, 'index_part.json'],
    ['without an attachment', undefined, 'index_part.json-0000000a'],
  ])('the index that counts is chosen %s', (_, attached, name) => {
    expect(chooseIndex(NAMES, attached)?.name).toBe(name);
  });

  test('an index without a generation is used if there is no other', () => {
    expect(chooseIndex(['index_part.json'])).toEqual({
      name: 'index_part.json',
      generation: undefined,
    });
    expect(chooseIndex(['index_part.json-00000009'], 8)).toBeUndefined();
    expect(chooseIndex([])).toBeUndefined();
  });

  test('and the manifest that counts, whose name has exactly 8 lower-case digits', () => {
    const names = [
      'tenant-manifest.json',
      'tenant-manifest-00000003.json',
      'tenant-manifest-0000000A.json',
      'tenant-manifest-4.json',
    ];
    expect(chooseManifest(names)).toEqual({ name: 'tenant-manifest-00000003.json', generation: 3 });
    expect(chooseManifest(names, 2)?.name).toBe('tenant-manifest.json');
  });
});
