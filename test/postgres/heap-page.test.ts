import { describe, expect, it } from 'vitest';
import {
  heapTuples,
  openTransactions,
  rowState,
  type TransactionEnd,
} from '../../src/postgres/heap-page.ts';
import { decodeCatalogRelation } from '../../src/postgres/pg-class.ts';
import { endInPage, statusBlockOf } from '../../src/postgres/transaction-status.ts';
import {
  classRow,
  DELETE_COMMITTED,
  FROZEN,
  heapPage,
  INSERT_ABORTED,
  INSERT_COMMITTED,
  NOT_DELETED,
  type RowFields,
  statusPage,
} from '../support/heap-pages.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const LOCK_ONLY = 0x80;
const EXCLUSIVE_LOCK = 0x40;
const MULTIXACT = 0x1000;
const ENDS: Record<number, TransactionEnd> = { 700: 'committed', 701: 'not-committed' };

function tupleOf(row: RowFields) {
  const [tuple] = heapTuples(heapPage([row]));
  if (tuple === undefined) throw new Error('the page has a row');
  return tuple;
}

describe('a row', () => {
  it.each<[string, RowFields, string, number[]]>([
    ['frozen', { flags: FROZEN | NOT_DELETED }, 'alive', []],
    ['known as committed', { flags: INSERT_COMMITTED | NOT_DELETED }, 'alive', []],
    ['known as aborted', { flags: INSERT_ABORTED | NOT_DELETED }, 'dead', []],
    ['of the bootstrap', { insertedBy: 1, flags: NOT_DELETED }, 'alive', []],
    ['of no transaction', { insertedBy: 0, flags: NOT_DELETED }, 'dead', []],
    ['of one that committed', { insertedBy: 700, flags: NOT_DELETED }, 'alive', [700]],
    ['of one that did not', { insertedBy: 701, flags: NOT_DELETED }, 'dead', [701]],
    ['of one that is unknown', { insertedBy: 702, flags: NOT_DELETED }, 'undecided', [702]],
    ['that nobody deleted', { flags: FROZEN, deletedBy: 0 }, 'alive', []],
    ['known as deleted', { flags: FROZEN | DELETE_COMMITTED, deletedBy: 702 }, 'dead', []],
    ['deleted by one that committed', { flags: FROZEN, deletedBy: 700 }, 'dead', [700]],
    ['deleted by one that did not', { flags: FROZEN, deletedBy: 701 }, 'alive', [701]],
    ['deleted by one that is unknown', { flags: FROZEN, deletedBy: 702 }, 'undecided', [702]],
    ['that is locked', { flags: FROZEN | LOCK_ONLY, deletedBy: 700 }, 'alive', []],
    ['locked as before 9.3', { flags: FROZEN | EXCLUSIVE_LOCK, deletedBy: 700 }, 'alive', []],
    ['locked by several', { flags: FROZEN | MULTIXACT | LOCK_ONLY, deletedBy: 5 }, 'alive', []],
    ['updated by several', { flags: FROZEN | MULTIXACT, deletedBy: 5 }, 'undecided', []],
    [
      'inserted and deleted by unknown ones',
      { insertedBy: 702, deletedBy: 703, flags: 0 },
      'undecided',
      [702, 703],
    ],
    [
      'of an unknown one, deleted by one that committed',
      { insertedBy: 702, deletedBy: 700, flags: 0 },
      'dead',
      [702, 700],
    ],
  ])(
    'the state of a row follows from its flags and its transactions: %s',
    (_, row, state, open) => {
      const tuple = tupleOf(row);
      expect(rowState(tuple, (transaction) => ENDS[transaction])).toBe(state);
      expect(openTransactions(tuple)).toEqual(open);
    },
  );
});

describe('a heap page', () => {
  it('a heap page that was never used has no rows', () => {
    expect([...heapTuples(new Uint8Array(8192))]).toEqual([]);
  });

  it('a heap page gives its rows in the order of their items, without those that are unused, dead or redirected', () => {
    const page = heapPage([
      { insertedBy: 10 },
      { insertedBy: 11 },
      { insertedBy: 12 },
      { insertedBy: 13 },
    ]);
    const view = new DataView(page.buffer);
    for (const [index, state] of [
      [0, 0],
      [1, 2],
      [3, 3],
    ] as const) {
      const at = 24 + index * 4;
      view.setUint32(at, (view.getUint32(at, true) & ~(3 << 15)) | (state << 15), true);
    }
    expect([...heapTuples(page)].map(({ insertedBy }) => insertedBy)).toEqual([12]);
  });

  it.each<[string, (view: DataView) => void, number]>([
    ['whose lower is in the header', (view) => view.setUint16(12, 20, true), 12],
    ['whose lower is above upper', (view) => view.setUint16(12, 8190, true), 12],
    ['whose special is beyond its end', (view) => view.setUint16(16, 8193, true), 12],
    [
      'with an item below upper',
      (view) => view.setUint32(24, 100 | (1 << 15) | (164 << 17), true),
      24,
    ],
    [
      'with an item beyond its end',
      (view) => view.setUint32(24, 8100 | (1 << 15) | (164 << 17), true),
      24,
    ],
    [
      'with an item too short for a header',
      (view) => view.setUint32(24, 8100 | (1 << 15) | (22 << 17), true),
      24,
    ],
    ['with a header longer than the row', (view) => view.setUint8(8024 + 22, 255), 8024 + 22],
    ['with a header that is too short', (view) => view.setUint8(8024 + 22, 22), 8024 + 22],
  ])('a heap page %s is corrupt', (_, damage, offset) => {
    const page = heapPage([{}]);
    const view = new DataView(page.buffer);
    expect(view.getUint16(14, true)).toBe(8024);
    damage(view);
    const error = storageErrorThrownBy(() => [...heapTuples(page)]);
    expect([error.code, error.offset]).toEqual(['corrupt', offset]);
  });
});

describe('a row of pg_class', () => {
  it('a row of pg_class has its columns at fixed places', () => {
    const name = 'n'.repeat(63);
    const columns = classRow({ oid: 1, name, relnode: 2, spcnode: 3, isShared: true });
    expect(decodeCatalogRelation(tupleOf({ columns }))).toEqual({
      oid: 1,
      name,
      schemaOid: 11,
      relnode: 2,
      spcnode: 3,
      isShared: true,
    });
  });

  it('a row of pg_class that ends within them is corrupt', () => {
    const columns = classRow({ oid: 1, name: 'short', relnode: 2 }).subarray(0, 113);
    const error = storageErrorThrownBy(() => decodeCatalogRelation(tupleOf({ columns })));
    expect(error).toMatchObject({ code: 'corrupt', actual: '33 columns, 113 bytes' });
  });
});

describe('the status of a transaction', () => {
  it.each([
    [3, 0, 0],
    [32_767, 0, 0],
    [32_768, 0, 1],
    [1_048_575, 0, 31],
    [1_048_576, 1, 0],
    [0xffff_ffff, 4095, 31],
  ])(
    'the status of a transaction of %i is in segment %i, block %i',
    (transaction, segno, blkno) => {
      expect(statusBlockOf(transaction)).toEqual({ slru: 'clog', segno, blkno });
    },
  );

  it('the status of a transaction is in two bits, the lowest first', () => {
    const page = statusPage({ 700: 1, 701: 2, 702: 3, 32767: 1 });
    const end = (transaction: number): TransactionEnd => endInPage(page, transaction);
    expect([700, 701, 702, 703, 32_767, 65_535].map(end)).toEqual([
      'committed',
      'not-committed',
      undefined,
      'not-committed',
      'committed',
      'committed',
    ]);
  });
});
