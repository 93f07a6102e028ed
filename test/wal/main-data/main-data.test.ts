import { describe, expect, test } from 'vitest';
import { decodeCheckpoint } from '../../../src/wal/main-data/checkpoint.ts';
import { decodeClogTruncate } from '../../../src/wal/main-data/clog.ts';
import {
  decodeDatabaseCopy,
  decodeDatabaseCreateByLog,
  decodeDatabaseDrop,
} from '../../../src/wal/main-data/database.ts';
import { decodeLogicalMessage } from '../../../src/wal/main-data/logical-message.ts';
import { decodeZeroPage } from '../../../src/wal/main-data/main-data.ts';
import {
  decodeMultixactCreate,
  decodeMultixactTruncate,
} from '../../../src/wal/main-data/multixact.ts';
import { decodeRelationMapUpdate } from '../../../src/wal/main-data/relation-map.ts';
import {
  decodeOriginDrop,
  decodeOriginSet,
} from '../../../src/wal/main-data/replication-origin.ts';
import { decodeRunningTransactions } from '../../../src/wal/main-data/running-xacts.ts';
import { decodeStorageCreate, decodeStorageTruncate } from '../../../src/wal/main-data/storage.ts';
import {
  decodeAssignment,
  decodeInvalidations,
  decodePrepare,
  decodeTransactionEnd,
} from '../../../src/wal/main-data/transaction.ts';
import { storageErrorThrownBy } from '../../support/storage-errors.ts';

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));

const ABORT = 0x20 | 0x80;
const COMMIT = 0x00 | 0x80;
const COMMIT_PREPARED = 0x30 | 0x80;

const NOTHING = {
  dbnode: undefined,
  spcnode: undefined,
  subxids: [],
  droppedRelations: [],
  droppedStatistics: [],
  invalidations: [],
  preparedXid: undefined,
  gid: undefined,
  origin: undefined,
};

/** Main data that servers wrote, or that follows their structs, with what it says. */
const SAMPLES: readonly {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
  readonly decoded: unknown;
}[] = [
  {
    name: 'ABORT of 17 that drops relations and statistics',
    bytes: hex(`36cf6cd462040300 44010000
      04000000 7f060000050000004b400000 7f060000050000004a400000
               7f0600000500000049400000 7f0600000500000046400000
      01000000 020000000500000046400000`),
    decode: (bytes) => decodeTransactionEnd(bytes, ABORT, 17),
    decoded: {
      ...NOTHING,
      time: 849247447338806n,
      xinfo: 0x144,
      droppedRelations: [16459, 16458, 16457, 16454].map((relnode) => ({
        spcnode: 1663,
        dbnode: 5,
        relnode,
      })),
      droppedStatistics: [{ kind: 2, dbnode: 5, objectId: 16454 }],
      offsetAfterPreparedXid: 80,
    },
  },
  {
    name: 'COMMIT without xinfo, whose bytes would announce more',
    bytes: hex('8b9274d462040300'),
    decode: (bytes) => decodeTransactionEnd(bytes, 0x00, 14),
    decoded: { ...NOTHING, time: 849247447847563n, xinfo: 0, offsetAfterPreparedXid: 8 },
  },
  {
    name: 'COMMIT of 14, where bit 0x100 has no data',
    bytes: hex('8b9274d462040300 02010000 02000000 9a0300009b030000'),
    decode: (bytes) => decodeTransactionEnd(bytes, COMMIT, 14),
    decoded: {
      ...NOTHING,
      time: 849247447847563n,
      xinfo: 0x102,
      subxids: [922, 923],
      offsetAfterPreparedXid: 24,
    },
  },
  {
    name: 'COMMIT of 17 with invalidation messages and an origin',
    bytes: hex(`9da5b1d462040300 29000040 04000000 7f060000
      02000000 370000000400000038864ca5ba550000 fe000000000000007117000000000000
      ffeedd0000000000 0100000000000000`),
    decode: (bytes) => decodeTransactionEnd(bytes, COMMIT, 17),
    decoded: {
      ...NOTHING,
      time: 849247451850141n,
      xinfo: 0x4000_0029,
      dbnode: 4,
      spcnode: 1663,
      invalidations: [
        { id: 55, first: 4, second: 2773255736 },
        { id: -2, first: 0, second: 6001 },
      ],
      offsetAfterPreparedXid: 56,
      origin: { lsn: 0xdd_eeffn, time: 1n },
    },
  },
  {
    name: 'COMMIT_PREPARED of 17 with its name',
    bytes: hex('8b9274d462040300 d1000000 05000000 7f060000 9b030000 7570642d74776f00'),
    decode: (bytes) => decodeTransactionEnd(bytes, COMMIT_PREPARED, 17),
    decoded: {
      ...NOTHING,
      time: 849247447847563n,
      xinfo: 209,
      dbnode: 5,
      spcnode: 1663,
      preparedXid: 923,
      gid: ascii('upd-two'),
      offsetAfterPreparedXid: 24,
    },
  },
  {
    name: 'PREPARE of 17',
    bytes: hex(`3445f957 98000000 98030000 05000000 ad2074d462040300 0a000000
      01000000 01000000 00000000 01000000 00000000 01000000 00 4a 0800
      0000000000000000 0000000000000000
      6769642d6f6e6500 9903000000000000
      7f0600000500000075400000 00000000 020000000500000075400000 00000000
      fe080000050000007f0d000000000000`),
    decode: (bytes) => decodePrepare(bytes, 17),
    decoded: {
      xid: 920,
      dbnode: 5,
      preparedAt: 849247447818413n,
      owner: 10,
      gid: ascii('gid-one'),
      subxids: [921],
      commitRelations: [{ spcnode: 1663, dbnode: 5, relnode: 16501 }],
      abortRelations: [],
      commitStatistics: [{ kind: 2, dbnode: 5, objectId: 16501 }],
      abortStatistics: [],
      invalidations: [{ id: -2, first: 5, second: 3455 }],
      invalidatesCacheFile: false,
      origin: { lsn: 0n, time: 0n },
    },
  },
  {
    name: 'PREPARE of 14, whose header has 8 bytes less',
    bytes: hex(`3345f957 58000000 98030000 05000000 ad2074d462040300 0a000000
      01000000 00000000 01000000 00000000 01 00 0200
      0500000000000000 0600000000000000
      6100000000000000 9903000000000000 7f0600000500000075400000`),
    decode: (bytes) => decodePrepare(Uint8Array.of(...bytes, 0, 0, 0, 0), 14),
    decoded: {
      xid: 920,
      dbnode: 5,
      preparedAt: 849247447818413n,
      owner: 10,
      gid: ascii('a'),
      subxids: [921],
      commitRelations: [],
      abortRelations: [{ spcnode: 1663, dbnode: 5, relnode: 16501 }],
      commitStatistics: [],
      abortStatistics: [],
      invalidations: [],
      invalidatesCacheFile: true,
      origin: { lsn: 5n, time: 6n },
    },
  },
  {
    name: 'ASSIGNMENT',
    bytes: hex('eb0b0000 01000000 ec0b0000'),
    decode: decodeAssignment,
    decoded: { topLevelXid: 3051, subxids: [3052] },
  },
  {
    name: 'INVALIDATION',
    bytes: hex('01000000 fb000000050000007f0d0000ba550000'),
    decode: decodeInvalidations,
    decoded: [{ id: -5, first: 5, second: 3455 }],
  },
  {
    name: 'Storage CREATE',
    bytes: hex('3f400000 05000000 5b400000 01000000'),
    decode: decodeStorageCreate,
    decoded: { spcnode: 16447, dbnode: 5, relnode: 16475, forkNumber: 1 },
  },
  {
    name: 'Storage TRUNCATE',
    bytes: hex('43000000 7f060000 05000000 6b400000 07000000'),
    decode: decodeStorageTruncate,
    decoded: { blockCount: 67, spcnode: 1663, dbnode: 5, relnode: 16491, flags: 7 },
  },
  {
    name: 'CREATE_FILE_COPY',
    bytes: hex('c5400000 3f400000 c5400000 7f060000'),
    decode: decodeDatabaseCopy,
    decoded: {
      target: { dbnode: 16581, spcnode: 16447 },
      source: { dbnode: 16581, spcnode: 1663 },
    },
  },
  {
    name: 'CREATE_WAL_LOG',
    bytes: hex('c6400000 7f060000'),
    decode: decodeDatabaseCreateByLog,
    decoded: { dbnode: 16582, spcnode: 1663 },
  },
  {
    name: 'Database DROP',
    bytes: hex('c5400000 02000000 3f400000 7f060000'),
    decode: decodeDatabaseDrop,
    decoded: { dbnode: 16581, spcnodes: [16447, 1663] },
  },
  {
    name: 'MultiXact ZERO_OFF_PAGE of 16',
    bytes: hex('01000000'),
    decode: (bytes) => decodeZeroPage(bytes, 16),
    decoded: 1n,
  },
  {
    name: 'MultiXact ZERO_MEM_PAGE of 17',
    bytes: hex('0100000002000000'),
    decode: (bytes) => decodeZeroPage(bytes, 17),
    decoded: 0x2_0000_0001n,
  },
  {
    name: 'MultiXact CREATE_ID',
    bytes: hex('2c040000 57080000 02000000 ab03000000000000 bd07000002000000'),
    decode: decodeMultixactCreate,
    decoded: {
      multixactId: 1068,
      offset: 2135,
      members: [
        { xid: 939, status: 0 },
        { xid: 1981, status: 2 },
      ],
    },
  },
  {
    name: 'MultiXact TRUNCATE_ID',
    bytes: hex('05000000 01000000 54080000 01000000 a7100000'),
    decode: decodeMultixactTruncate,
    decoded: { dbnode: 5, startId: 1, endId: 2132, startMember: 1, endMember: 4263 },
  },
  {
    name: 'CLOG ZEROPAGE of 14',
    bytes: hex('ffffffff'),
    decode: (bytes) => decodeZeroPage(bytes, 14),
    decoded: -1n,
  },
  {
    name: 'CLOG TRUNCATE of 16',
    bytes: hex('01000000 da020000 04000000'),
    decode: (bytes) => decodeClogTruncate(bytes, 16),
    decoded: { page: 1n, oldestXid: 730, oldestXidDatabase: 4 },
  },
  {
    name: 'CLOG TRUNCATE of 17',
    bytes: hex('0100000000000000 da020000 04000000'),
    decode: (bytes) => decodeClogTruncate(bytes, 17),
    decoded: { page: 1n, oldestXid: 730, oldestXidDatabase: 4 },
  },
  {
    name: 'RelMap UPDATE of 16',
    bytes: Uint8Array.of(...hex('05000000 7f060000 0c020000'), ...new Uint8Array(524).fill(7)),
    decode: (bytes) => decodeRelationMapUpdate(bytes, 16),
    decoded: { dbnode: 5, spcnode: 1663, map: new Uint8Array(524).fill(7) },
  },
  {
    name: 'RUNNING_XACTS with bytes in its padding',
    bytes: hex(`02000000 01000000 00 39db0b a0030000 98030000 9f030000
      9d030000 98030000 99030000`),
    decode: decodeRunningTransactions,
    decoded: {
      xids: [925, 920],
      subxids: [921],
      isOverflowed: false,
      nextXid: 928,
      oldestRunningXid: 920,
      latestCompletedXid: 927,
    },
  },
  {
    name: 'LogicalMessage',
    bytes: hex('05000000 01 393939 0400000000000000 0300000000000000 70667800 656e64'),
    decode: decodeLogicalMessage,
    decoded: { dbnode: 5, isTransactional: true, prefix: ascii('pfx'), message: ascii('end') },
  },
  {
    name: 'LogicalMessage of a server of 32 bits',
    bytes: hex('05000000 01 393939 04000000 03000000 70667800 656e64'),
    decode: decodeLogicalMessage,
    decoded: { dbnode: 5, isTransactional: true, prefix: ascii('pfx'), message: ascii('end') },
  },
  {
    // Its second u32 is 0, and its length is that of 8 bytes more.
    name: 'LogicalMessage without a message',
    bytes: hex('05000000 00 393939 0400000000000000 0000000000000000 70667800'),
    decode: decodeLogicalMessage,
    decoded: { dbnode: 5, isTransactional: false, prefix: ascii('pfx'), message: ascii('') },
  },
  {
    name: 'LogicalMessage of a server of 32 bits, without a message',
    bytes: hex('05000000 00 393939 04000000 00000000 70667800'),
    decode: decodeLogicalMessage,
    decoded: { dbnode: 5, isTransactional: false, prefix: ascii('pfx'), message: ascii('') },
  },
  {
    name: 'ReplicationOrigin SET',
    bytes: hex('ffeedd0000000000 0100 01 037b7f0000'),
    decode: decodeOriginSet,
    decoded: { remoteLsn: 0xdd_eeffn, origin: 1, force: true },
  },
  {
    name: 'ReplicationOrigin DROP',
    bytes: hex('0100'),
    decode: decodeOriginDrop,
    decoded: 1,
  },
  {
    name: 'CHECKPOINT_ONLINE of 17',
    bytes: hex(`90c6120100000000 01000000 01000000 01000000 02000000 a003000000000000
      00600000 06000000 0b000000 da020000 01000000 01000000 01000000 00000000
      57c00b6b00000000 e2020000 9f030000 98030000 00000000`),
    decode: (bytes) => decodeCheckpoint(bytes, 17),
    decoded: {
      redo: 0x112_c690n,
      timelineId: 1,
      previousTimelineId: 1,
      fullPageWrites: true,
      walLevel: 2,
      nextXid: 928n,
      nextOid: 24576,
      nextMultixact: 6,
      nextMultixactOffset: 11,
      oldestXid: 730,
      oldestXidDatabase: 1,
      oldestMultixact: 1,
      oldestMultixactDatabase: 1,
      time: 1795932247n,
      oldestCommitTimeXid: 738,
      newestCommitTimeXid: 927,
      oldestActiveXid: 920,
    },
  },
];

const named = SAMPLES.map((sample): [string, (typeof SAMPLES)[number]] => [sample.name, sample]);

test.each(named)(
  'main data of %s is read as its server wrote it',
  (_, { bytes, decode, decoded }) => {
    expect(decode(bytes)).toEqual(decoded);
  },
);

test.each(named)('main data of %s that ends too early is corrupt', (_, { bytes, decode }) => {
  for (let length = 0; length < bytes.length; length += 1) {
    // What ends between two parts of a transaction's end is refused, too: its bits announce the rest.
    const error = storageErrorThrownBy(() => decode(bytes.slice(0, length)));
    expect(error.code, `${length} bytes`).toBe('corrupt');
  }
});

test.each(named.filter(([name]) => !name.startsWith('PREPARE')))(
  'main data of %s with a byte more is corrupt',
  (_, { bytes, decode }) => {
    expect(storageErrorThrownBy(() => decode(Uint8Array.of(...bytes, 0))).code).toBe('corrupt');
  },
);

describe('counts that no data has room for', () => {
  test.each(['ffffffff', '00000080', '02000000'])(
    'a count of %s subtransactions, which the data has no room for, is corrupt',
    (count) => {
      const bytes = hex(`eb0b0000 ${count} ec0b0000`);
      expect(storageErrorThrownBy(() => decodeAssignment(bytes))).toMatchObject({
        code: 'corrupt',
        offset: 8,
      });
    },
  );

  test('a logical message with a length of 2^63 is corrupt at its length', () => {
    const bytes = hex('05000000 00000000 0000000000000080 0000000000000000 00');
    const error = storageErrorThrownBy(() => decodeLogicalMessage(bytes));
    expect(error).toMatchObject({ code: 'corrupt', offset: 8 });
  });

  test('a relation map of another version is corrupt at its length', () => {
    const bytes = Uint8Array.of(...hex('05000000 7f060000 00020000'), ...new Uint8Array(512));
    expect(decodeRelationMapUpdate(bytes, 15).map).toHaveLength(512);
    const error = storageErrorThrownBy(() => decodeRelationMapUpdate(bytes, 16));
    expect(error).toMatchObject({ code: 'corrupt', offset: 8, expected: '524', actual: '512' });
  });
});

test('a prefix without a zero byte at its end is corrupt', () => {
  const bytes = hex('05000000 00000000 0300000000000000 0000000000000000 706678');
  expect(storageErrorThrownBy(() => decodeLogicalMessage(bytes))).toMatchObject({
    code: 'corrupt',
    offset: 24,
  });
});

test('the name of a prepared transaction without a zero byte is corrupt', () => {
  const bytes = hex('8b9274d462040300 90000000 9b030000 7570642d');
  const error = storageErrorThrownBy(() => decodeTransactionEnd(bytes, COMMIT_PREPARED, 17));
  expect(error).toMatchObject({ code: 'corrupt', offset: 16 });
});

test('a fork above 255 is corrupt', () => {
  const bytes = hex('3f400000 05000000 5b400000 00010000');
  const error = storageErrorThrownBy(() => decodeStorageCreate(bytes));
  expect(error).toMatchObject({ code: 'corrupt', offset: 12 });
});

test.each([13, 18, 14.5])('WAL of version %d is refused', (majorVersion) => {
  const error = storageErrorThrownBy(() => decodeZeroPage(hex('00000000'), majorVersion));
  expect(error.code).toBe('invalid-input');
});
