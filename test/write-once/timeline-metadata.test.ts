import * as fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crc32cOf } from '../../src/checksum.ts';
import { MAXIMUM_LSN, parseLsn } from '../../src/layers/lsn.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import {
  decodeTimelineMetadata,
  encodeTimelineMetadata,
  readTimelineMetadata,
  type TimelineMetadataFields,
  writeTimelineMetadata,
} from '../../src/write-once/timeline-metadata.ts';
import {
  timelineMetadataFromJson,
  timelineMetadataToJson,
} from '../../src/write-once/timeline-metadata-json.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

interface GoldenFields {
  disk_consistent_lsn: string;
  prev_record_lsn: string | null;
  ancestor_timeline: string | null;
  ancestor_lsn: string;
  latest_gc_cutoff_lsn: string;
  initdb_lsn: string;
  pg_version: number;
}

interface GoldenFile {
  file: string;
  decoded: GoldenFields & {
    checksum: number;
    stored_format_version: number;
    index_part_json: GoldenFields;
  };
}

const goldenFiles = ['15-metadata-v4', '16-metadata-v3'].flatMap((name) => {
  const directory = join(import.meta.dirname, '../golden/layers', name);
  const manifest: { files: GoldenFile[] } = JSON.parse(
    fs.readFileSync(join(directory, 'manifest.json'), 'utf8'),
  );
  return manifest.files.map(({ file, decoded }) => ({
    name: `${name}/${file}`,
    path: join(directory, file),
    bytes: Uint8Array.from(fs.readFileSync(join(directory, file))),
    decoded,
    fields: fieldsOf(decoded),
  }));
});

function fieldsOf(golden: GoldenFields): TimelineMetadataFields {
  return {
    diskConsistentLsn: parseLsn(golden.disk_consistent_lsn),
    prevRecordLsn: golden.prev_record_lsn === null ? null : parseLsn(golden.prev_record_lsn),
    ancestorTimeline: golden.ancestor_timeline,
    ancestorLsn: parseLsn(golden.ancestor_lsn),
    latestGcCutoffLsn: parseLsn(golden.latest_gc_cutoff_lsn),
    initdbLsn: parseLsn(golden.initdb_lsn),
    pgVersion: golden.pg_version,
  };
}

const FIELDS: TimelineMetadataFields = {
  diskConsistentLsn: 0x200n,
  prevRecordLsn: 0x1ffn,
  ancestorTimeline: '00112233445566778899aabbccddeeff',
  ancestorLsn: 0x11n,
  latestGcCutoffLsn: 0x22n,
  initdbLsn: 0x33n,
  pgVersion: 15,
};

/** The offsets of the fields when both optional ones are there. */
const OFFSETS = { disk: 8, prevTag: 16, ancestorTag: 25, ancestorLsn: 42, pgVersion: 66, end: 70 };

/** Changes bytes and, unless told otherwise, makes the checksum right again. */
function damaged(
  change: (bytes: Uint8Array, view: DataView) => void,
  checksum: 'right' | 'stale' = 'right',
): Uint8Array {
  const bytes = encodeTimelineMetadata(FIELDS);
  const view = new DataView(bytes.buffer);
  change(bytes, view);
  if (checksum === 'right') view.setUint32(0, crc32cOf(bytes.subarray(8, view.getUint16(4))));
  return bytes;
}

describe('files that Neon wrote', () => {
  test('files that Neon wrote are there', () => {
    expect(goldenFiles.length).toBe(5);
  });

  test.each(goldenFiles)(
    'the file $name of Neon has the fields of its manifest',
    async ({ path, decoded, fields }) => {
      expect(await readTimelineMetadata(path)).toEqual({
        ...fields,
        storedFormatVersion: decoded.stored_format_version,
        checksum: decoded.checksum,
      });
    },
  );

  test.each(goldenFiles)(
    'the file $name of Neon is written again as Neon does',
    ({ bytes, decoded, fields }) => {
      const encoded = encodeTimelineMetadata(fields);
      if (decoded.stored_format_version === 4) expect(encoded).toEqual(bytes);
      else
        expect(decodeTimelineMetadata(encoded)).toMatchObject({
          ...fields,
          storedFormatVersion: 4,
        });
    },
  );

  test.each(goldenFiles)(
    'the file $name of Neon has the JSON of its manifest',
    ({ bytes, decoded, fields }) => {
      expect(timelineMetadataToJson(fields)).toEqual(decoded.index_part_json);
      expect(timelineMetadataFromJson(decoded.index_part_json)).toEqual(fields);
      expect(timelineMetadataFromJson([...bytes])).toMatchObject(fields);
    },
  );
});

describe('the bytes', () => {
  test('the bytes of every field of metadata stand where the format says', () => {
    const bytes = encodeTimelineMetadata(FIELDS);
    const expected = Buffer.from(
      [
        Buffer.from(bytes.subarray(0, 4)).toString('hex'), // checksum, see below
        '0046', // size 70
        '0004', // format version
        '0000000000000200', // disk_consistent_lsn
        '0100000000000001ff', // prev_record_lsn, present
        '0100112233445566778899aabbccddeeff', // ancestor_timeline, present
        '0000000000000011', // ancestor_lsn
        '0000000000000022', // latest_gc_cutoff_lsn
        '0000000000000033', // initdb_lsn
        '0000000f', // pg_version
        '00'.repeat(442), // padding
      ].join(''),
      'hex',
    );
    expect(Buffer.from(bytes).equals(expected)).toBe(true);
    expect(new DataView(bytes.buffer).getUint32(0)).toBe(crc32cOf(bytes.subarray(8, 70)));
  });

  test('the bytes of metadata give back what was encoded, whatever it was', () => {
    const lsn = fc.bigInt({ min: 0n, max: MAXIMUM_LSN });
    const fields = fc.record({
      diskConsistentLsn: lsn.map((value) => value - (value % 8n)),
      prevRecordLsn: fc.option(lsn),
      ancestorTimeline: fc.option(
        fc
          .uint8Array({ minLength: 16, maxLength: 16 })
          .map((id) => Buffer.from(id).toString('hex')),
      ),
      ancestorLsn: lsn,
      latestGcCutoffLsn: lsn,
      initdbLsn: lsn,
      pgVersion: fc.integer({ min: 14, max: 17 }),
    });
    fc.assert(
      fc.property(fields, (value) => {
        const bytes = encodeTimelineMetadata(value);
        expect(bytes.length).toBe(512);
        expect(decodeTimelineMetadata(bytes)).toMatchObject(value);
        const json: unknown = JSON.parse(JSON.stringify(timelineMetadataToJson(value)));
        expect(timelineMetadataFromJson(json)).toEqual(value);
      }),
    );
  });

  test('the bytes of metadata may lie anywhere in a larger array', () => {
    const large = new Uint8Array(600).fill(0xff);
    large.set(encodeTimelineMetadata(FIELDS), 33);
    expect(decodeTimelineMetadata(large.subarray(33, 545))).toMatchObject(FIELDS);
  });
});

describe('every error path of the decoder', () => {
  test.each<[string, Uint8Array, string, number]>([
    ['no bytes', new Uint8Array(0), 'truncated', 0],
    ['one byte too few', encodeTimelineMetadata(FIELDS).subarray(0, 511), 'truncated', 511],
    [
      'one byte too many',
      Buffer.concat([encodeTimelineMetadata(FIELDS), Buffer.alloc(1)]),
      'corrupt',
      512,
    ],
    ['all zeros', new Uint8Array(512), 'corrupt', 4],
    ['a size without a body', damaged((_, view) => view.setUint16(4, 8), 'stale'), 'corrupt', 4],
    ['a size beyond the file', damaged((_, view) => view.setUint16(4, 513), 'stale'), 'corrupt', 4],
    ['the largest size', damaged((_, view) => view.setUint16(4, 0xffff), 'stale'), 'corrupt', 4],
    ['a wrong checksum', damaged((_, view) => view.setUint32(0, 7), 'stale'), 'corrupt', 0],
    ['a changed body', damaged((bytes) => bytes.fill(9, 30, 31), 'stale'), 'corrupt', 0],
    ['version 2', damaged((_, view) => view.setUint16(6, 2)), 'unsupported-version', 6],
    ['version 5', damaged((_, view) => view.setUint16(6, 5)), 'unsupported-version', 6],
    ['version 3 with the body of 4', damaged((_, view) => view.setUint16(6, 3)), 'corrupt', 66],
    ['an unaligned LSN', damaged((_, view) => view.setUint8(15, 4)), 'corrupt', OFFSETS.disk],
    [
      'tag 2 of prev_record_lsn',
      damaged((_, view) => view.setUint8(16, 2)),
      'corrupt',
      OFFSETS.prevTag,
    ],
    [
      'tag 255 of ancestor_timeline',
      damaged((_, view) => view.setUint8(25, 255)),
      'corrupt',
      OFFSETS.ancestorTag,
    ],
    ['pg_version 13', damaged((_, view) => view.setUint32(66, 13)), 'corrupt', OFFSETS.pgVersion],
    ['pg_version 18', damaged((_, view) => view.setUint32(66, 18)), 'corrupt', OFFSETS.pgVersion],
    ['a body that ends in a field', damaged((_, view) => view.setUint16(4, 69)), 'corrupt', 66],
    ['a body that ends in an id', damaged((_, view) => view.setUint16(4, 30)), 'corrupt', 26],
    ['a body of one byte', damaged((_, view) => view.setUint16(4, 9)), 'corrupt', OFFSETS.disk],
    ['a body up to the end', damaged((_, view) => view.setUint16(4, 512)), 'corrupt', OFFSETS.end],
    ['a body that goes on', damaged((_, view) => view.setUint16(4, 80)), 'corrupt', OFFSETS.end],
    ['stray bytes behind the body', damaged((bytes) => bytes.fill(1, 70, 71)), 'corrupt', 70],
    ['a stray byte at the end', damaged((bytes) => bytes.fill(1, 511)), 'corrupt', 511],
  ])('a metadata file with %s is refused with its offset', (_, bytes, code, offset) => {
    const error = storageErrorThrownBy(() => decodeTimelineMetadata(bytes));
    expect({ code: error.code, offset: error.offset }).toEqual({ code, offset });
  });

  test('no change of a single byte goes unnoticed', () => {
    const bytes = encodeTimelineMetadata(FIELDS);
    for (let offset = 0; offset < bytes.length; offset += 1) {
      for (const mask of [0x01, 0x80, 0xff]) {
        const changed = Uint8Array.from(bytes);
        changed[offset] = (bytes[offset] ?? 0) ^ mask;
        const error = storageErrorThrownBy(() => decodeTimelineMetadata(changed));
        expect(['corrupt', 'unsupported-version']).toContain(error.code);
      }
    }
  });

  test('version 3 may store an unaligned LSN, but it cannot be written', () => {
    const bytes = damaged((all, view) => {
      view.setUint16(6, 3);
      view.setUint16(4, 66);
      view.setUint8(15, 3);
      all.fill(0, 66);
    });
    const metadata = decodeTimelineMetadata(bytes);
    expect(metadata).toMatchObject({ diskConsistentLsn: 0x203n, pgVersion: 14 });
    expect(storageErrorThrownBy(() => encodeTimelineMetadata(metadata)).code).toBe('invalid-input');
  });
});

describe('fields that cannot be encoded', () => {
  test.each<[string, Partial<TimelineMetadataFields>, string]>([
    ['a negative LSN', { ancestorLsn: -1n }, 'out-of-range'],
    ['an LSN of 65 bits', { prevRecordLsn: MAXIMUM_LSN + 1n }, 'out-of-range'],
    ['an unaligned disk_consistent_lsn', { diskConsistentLsn: 4n }, 'invalid-input'],
    ['Postgres 13', { pgVersion: 13 }, 'out-of-range'],
    ['Postgres 15.5', { pgVersion: 15.5 }, 'out-of-range'],
    ['a timeline id of 31 digits', { ancestorTimeline: '0'.repeat(31) }, 'invalid-input'],
  ])('metadata with %s cannot be encoded', (_, change, code) => {
    const fields = { ...FIELDS, ...change };
    expect(storageErrorThrownBy(() => encodeTimelineMetadata(fields)).code).toBe(code);
    expect(storageErrorThrownBy(() => timelineMetadataToJson(fields)).code).toBe(code);
  });
});

describe('the JSON form', () => {
  const json = timelineMetadataToJson(FIELDS);

  test('the JSON form of metadata may lack the optional fields, and have others', () => {
    const { prev_record_lsn: _1, ancestor_timeline: _2, ...rest } = json;
    expect(timelineMetadataFromJson({ ...rest, more: 1 })).toEqual({
      ...FIELDS,
      prevRecordLsn: null,
      ancestorTimeline: null,
    });
  });

  test.each<[string, unknown]>([
    ['null in its place', null],
    ['a string in its place', '0/200'],
    ['an LSN that is a number', { ...json, ancestor_lsn: 17 }],
    ['an LSN that is no LSN', { ...json, ancestor_lsn: '0/xyz' }],
    ['an invalid id', { ...json, ancestor_timeline: 'timeline' }],
    ['a missing field', { ...json, initdb_lsn: undefined }],
    ['fields of the prototype', Object.create(json)],
    ['fields behind __proto__', JSON.parse(`{"__proto__":${JSON.stringify(json)}}`)],
    ['an unaligned LSN', { ...json, disk_consistent_lsn: '0/201' }],
    ['pg_version as text', { ...json, pg_version: '15' }],
    ['pg_version 13', { ...json, pg_version: 13 }],
    ['an array of other things', ['a']],
    ['an array with 256', new Array(512).fill(256)],
    ['an array of 513', new Array(513).fill(0)],
  ])('the JSON form of metadata with %s is corrupt', (_, value) => {
    expect(storageErrorThrownBy(() => timelineMetadataFromJson(value)).code).toBe('corrupt');
  });

  test('an array that is too short is truncated', () => {
    const error = storageErrorThrownBy(() => timelineMetadataFromJson([1, 2, 3]));
    expect(error).toMatchObject({ code: 'truncated', offset: 3 });
  });
});

describe('a metadata file', () => {
  test('a metadata file is written and read, and errors of its content name it', async () => {
    const fileSystem = new MemoryFileSystem();
    const openFiles = new OpenFiles({ fileSystem });
    await writeTimelineMetadata('/metadata', FIELDS, { openFiles });
    expect(await readTimelineMetadata('/metadata', { openFiles })).toMatchObject(FIELDS);
    fileSystem.createFile(
      '/damaged',
      damaged((_, view) => view.setUint32(0, 0), 'stale'),
    );
    expect(await storageErrorOf(readTimelineMetadata('/damaged', { openFiles }))).toMatchObject({
      code: 'corrupt',
      path: '/damaged',
      offset: 0,
    });
    expect(fileSystem.openPaths).toEqual([]);
  });

  test('a metadata file is not touched by fields that cannot be encoded', async () => {
    const fileSystem = new MemoryFileSystem();
    const openFiles = new OpenFiles({ fileSystem });
    const writing = writeTimelineMetadata('/metadata', { ...FIELDS, pgVersion: 1 }, { openFiles });
    expect((await storageErrorOf(writing)).code).toBe('out-of-range');
    expect(fileSystem.operationCount).toBe(0);
  });

  test('a metadata file that is far too long is not read', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/metadata', new Uint8Array(70_000));
    const openFiles = new OpenFiles({ fileSystem });
    const kinds: string[] = [];
    fileSystem.intercept = ({ kind }) => {
      kinds.push(kind);
      return undefined;
    };
    const error = await storageErrorOf(readTimelineMetadata('/metadata', { openFiles }));
    expect(error).toMatchObject({ code: 'too-large', path: '/metadata' });
    expect(kinds).not.toContain('read');
  });
});
