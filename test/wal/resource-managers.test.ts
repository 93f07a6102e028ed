import { describe, expect, test } from 'vitest';
import { decodeWalRecord } from '../../src/wal/record-format.ts';
import {
  recordKinds,
  recordTypeOf,
  resourceManagerName,
  resourceManagers,
} from '../../src/wal/resource-managers.ts';
import { readDescribedRecords } from '../support/described-records.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

test('every kind of record has the names that its server gives it', () => {
  const kinds = new Set<string>();
  for (const { version, resource_manager, record_type, bytes } of readDescribedRecords()) {
    const record = decodeWalRecord(bytes, version);
    kinds.add(`${version} ${resource_manager}/${record_type}`);
    expect(resourceManagerName(record.resourceManager, version)).toBe(resource_manager);
    expect(recordTypeOf(record, version)).toBe(record_type);
  }
  expect(kinds.size).toBe(111 + 112 + 112 + 113);
});

describe('names that differ between the versions', () => {
  test.each([
    [14, 4, 0x10, 'DROP'],
    [15, 4, 0x10, 'CREATE_WAL_LOG'],
    [15, 4, 0x20, 'DROP'],
    [16, 9, 0x20, 'VACUUM'],
    [17, 9, 0x20, 'PRUNE_VACUUM_SCAN'],
    [16, 0, 0xe0, 'UNKNOWN (e0)'],
    [17, 0, 0xe0, 'CHECKPOINT_REDO'],
  ])(
    'in version %i, resource manager %i, info %i has the name %s',
    (version, resourceManager, info, name) => {
      expect(recordTypeOf({ resourceManager, info }, version)).toBe(name);
    },
  );

  test.each([
    [14, 134, 'UNKNOWN'],
    [15, 134, 'custom134'],
    [16, 134, 'neon'],
    [17, 128, 'custom128'],
    [17, 127, 'UNKNOWN'],
    [17, 22, 'UNKNOWN'],
  ])('in version %i, resource manager %i has the name %s', (version, id, name) => {
    expect(resourceManagerName(id, version)).toBe(name);
  });
});

test('the low four bits of the info byte are not part of the name', () => {
  expect(recordTypeOf({ resourceManager: 2, info: 0x21 }, 17)).toBe('TRUNCATE');
  expect(recordTypeOf({ resourceManager: 10, info: 0x82 }, 17)).toBe('INSERT+INIT');
});

test('bit 0x80 says INIT only where an operation has it, and nothing for a transaction', () => {
  expect(recordTypeOf({ resourceManager: 10, info: 0x90 }, 17)).toBe('UNKNOWN (90)');
  expect(recordTypeOf({ resourceManager: 1, info: 0x80 }, 17)).toBe('COMMIT');
  expect(recordTypeOf({ resourceManager: 20, info: 0x70 }, 17)).toBe('Generic');
});

test.each([14, 15, 16, 17])(
  'version %i has each kind once, below a manager that is listed',
  (version) => {
    const kinds = recordKinds(version);
    const places = kinds.map(({ resourceManager, info }) => `${resourceManager} ${info}`);
    expect(new Set(places).size).toBe(places.length);
    const names = resourceManagers(version).map(({ name }) => name);
    expect(new Set(kinds.map(({ manager }) => manager))).toEqual(new Set(names));
  },
);

test('an unknown version or number of a resource manager is refused', () => {
  for (const version of [13, 18, 15.5, Number.NaN]) {
    const record = { resourceManager: 0, info: 0 };
    expect(storageErrorThrownBy(() => recordTypeOf(record, version)).code).toBe('invalid-input');
  }
  expect(storageErrorThrownBy(() => resourceManagerName(256, 17)).code).toBe('invalid-input');
  const beyond = { resourceManager: 0, info: 256 };
  expect(storageErrorThrownBy(() => recordTypeOf(beyond, 17)).code).toBe('invalid-input');
});
