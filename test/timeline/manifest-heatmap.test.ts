/** The two other JSON files of a tenant. */
import { describe, expect, test } from 'vitest';
import { parseHeatmap } from '../../src/timeline/heatmap.ts';
import { formatTenantManifest, parseTenantManifest } from '../../src/timeline/tenant-manifest.ts';
import { goldenIndex } from '../support/golden-indices.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const A = 'a'.repeat(32);
const B = 'b'.repeat(32);
const NAME =
  '00000000000000000000000000000000000A-030000000000000000000000000000000002__0000000001500028';

describe('a tenant manifest', () => {
  test('a tenant manifest of a pageserver is written as it was', () => {
    const text = goldenIndex('pg17/manifest');
    const { version, ...manifest } = parseTenantManifest(text);
    expect(version).toBe(2);
    expect(formatTenantManifest(manifest)).toBe(text);
  });

  test('a tenant manifest has its timelines by id', () => {
    const timeline = (id: string, ancestor: string | null, lsn: string | null) => ({
      timeline_id: id,
      ancestor_timeline_id: ancestor,
      ancestor_retain_lsn: lsn,
      archived_at: '2024-07-19T09:00:00.123',
    });
    const json = {
      version: 2,
      stripe_size: 32768,
      offloaded_timelines: [timeline(B, A, '0/16960E8'), timeline(A, null, null)],
    };
    const manifest = parseTenantManifest(JSON.stringify(json));
    expect(manifest.offloadedTimelines[0]).toEqual({
      timelineId: B,
      ancestorTimelineId: A,
      ancestorRetainLsn: 0x16960e8n,
      archivedAt: '2024-07-19T09:00:00.123',
    });
    const sorted = { ...json, offloaded_timelines: json.offloaded_timelines.toReversed() };
    expect(formatTenantManifest(manifest)).toBe(JSON.stringify(sorted));
  });

  test('a tenant manifest of version 1 has stripes of 32768 pages, and needs no list', () => {
    expect(parseTenantManifest('{"version":1,"future":[]}')).toEqual({
      version: 1,
      stripeSize: 32768,
      offloadedTimelines: [],
    });
  });

  test.each([
    ['without a version', '{}', 'version'],
    ['with a list that is none', '{"version":2,"offloaded_timelines":{}}', 'offloaded_timelines'],
    [
      'with a timeline without a time',
      `{"version":2,"offloaded_timelines":[{"timeline_id":"${A}"}]}`,
      'offloaded_timelines[0].archived_at',
    ],
    ['that is an array', '[]', ''],
  ])('a tenant manifest %s is refused with the place', (_, text, place) => {
    const error = storageErrorThrownBy(() => parseTenantManifest(text, '/manifest'));
    expect(error.code).toBe('corrupt');
    expect(error.path).toBe('/manifest');
    expect(error.message).toContain(place);
  });

  test('a tenant manifest is not written with a time of a zone', () => {
    const timeline = {
      timelineId: A,
      ancestorTimelineId: undefined,
      ancestorRetainLsn: undefined,
      archivedAt: 'now',
    };
    const error = storageErrorThrownBy(() =>
      formatTenantManifest({ stripeSize: 1, offloadedTimelines: [timeline] }),
    );
    expect(error.code).toBe('invalid-input');
  });
});

describe('a heatmap', () => {
  const layer = {
    name: NAME.toLowerCase(),
    metadata: { file_size: 24576, generation: 1 },
    access_time: 1_710_000_000,
  };

  test('a heatmap has the layers of each timeline in the order of the downloads', () => {
    const heatmap = parseHeatmap(
      JSON.stringify({
        generation: 3,
        timelines: [
          {
            timeline_id: A,
            layers: [layer, { ...layer, cold: true, metadata: { file_size: 1, shard: '0104' } }],
          },
        ],
        upload_period_ms: null,
      }),
    );
    const shared = { name: NAME, accessTime: 1_710_000_000 };
    expect(heatmap).toEqual({
      generation: 3,
      timelines: [
        {
          timelineId: A,
          layers: [
            {
              ...shared,
              fileSize: 24576n,
              generation: 1,
              shard: { number: 0, count: 0 },
              isCold: false,
            },
            {
              ...shared,
              fileSize: 1n,
              generation: undefined,
              shard: { number: 1, count: 4 },
              isCold: true,
            },
          ],
        },
      ],
      uploadPeriodMs: undefined,
    });
  });

  test.each([
    ['without timelines', {}, 'timelines'],
    [
      'with a layer without an entry',
      { timelines: [{ timeline_id: A, layers: [{ name: NAME }] }] },
      'timelines[0].layers[0].metadata',
    ],
    [
      'with a name that is no layer',
      { timelines: [{ timeline_id: A, layers: [{ ...layer, name: 'x' }] }] },
      'timelines[0].layers[0].name',
    ],
  ])('a heatmap %s is refused with the place', (_, json, place) => {
    const error = storageErrorThrownBy(() => parseHeatmap(JSON.stringify(json)));
    expect(error.code).toBe('corrupt');
    expect(error.message).toContain(place);
  });
});
