import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatKey } from '../../src/layers/key.ts';
import { KEY_FIELDS_HELP, keyFromFieldsText, parseKeyText } from '../../src/postgres/key-fields.ts';
import { describeKey, type KeyMeaning } from '../../src/postgres/key-mapping.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const SAME_BLOCK = '000000067F00000005000040000000000007';

describe('fields that name a key', () => {
  it.each([
    ['rel=1663/5/16384 fork=main blkno=7', SAME_BLOCK],
    ['blkno=7 rel=1663/5/16384', SAME_BLOCK],
    ['rel=0x67f/0x5/0x4000 fork=0 blkno=0x7', SAME_BLOCK],
    ['spcnode=1663 dbnode=5 relnode=16384 fork=main blkno=7', SAME_BLOCK],
    ['kind=rel_block spcnode=1663 dbnode=5 relnode=16384 fork=main blkno=7', SAME_BLOCK],
    ['rel=1663/5/16384 fork=vm blkno=4294967294', '000000067F000000050000400002FFFFFFFE'],
    ['rel=1663/5/16384 fork=init size', '000000067F000000050000400003FFFFFFFF'],
    ['rel=1663/5/16384 fork=9 size', '000000067F000000050000400009FFFFFFFF'],
    ['kind=rel_size rel=1663/5/16384', '000000067F000000050000400000FFFFFFFF'],
    ['relmap db=1663/5', '000000067F00000005000000000000000000'],
    ['relmap db=1664/0', '000000068000000000000000000000000000'],
    ['rel_dir db=1663/5', '000000067F00000005000000000000000001'],
    ['kind=rel_dir spcnode=1663 dbnode=5', '000000067F00000005000000000000000001'],
    ['slru=clog segno=3 blkno=7', '010000000000000001000000030000000007'],
    ['slru=multixact_members segno=3 size', '0100000001000000010000000300FFFFFFFF'],
    ['slru=multixact_offsets', '010000000200000000000000000000000000'],
    ['xid=740', '0200000000000000000000000000000002E4'],
    ['xid=18446744073709551615', '02000000000000000000FFFFFFFFFFFFFFFF'],
    ['kind=twophase xid=1', '020000000000000000000000000000000001'],
    ['db_dir', '000000000000000000000000000000000000'],
    ['twophase_dir', '020000000000000000000000000000000000'],
    ['control_file', '030000000000000000000000000000000000'],
    ['checkpoint', '030000000000000000000000000000000001'],
    ['kind=aux_files', '030000000000000000000000000000000002'],
  ])('the fields "%s" name a key', (text, key) => {
    expect(formatKey(keyFromFieldsText(text.split(' ')))).toBe(key);
    expect(formatKey(keyFromFieldsText([` ${text} `]))).toBe(key);
    expect(formatKey(parseKeyText([text]))).toBe(key);
  });

  it('fields that name a key may as well be the 36 hex digits', () => {
    expect(formatKey(parseKeyText([SAME_BLOCK.toLowerCase()]))).toBe(SAME_BLOCK);
  });

  it('fields that name a key are those of the meaning that they give', () => {
    const u32 = fc.nat({ max: 0xffff_ffff });
    const relation = fc.record({ spcnode: u32, dbnode: u32, relnode: u32.map((n) => n || 1) });
    fc.assert(
      fc.property(relation, u32, fc.nat({ max: 255 }), (rel, field6, fork) => {
        const where = `rel=${rel.spcnode}/${rel.dbnode}/${rel.relnode} fork=${fork}`;
        const which = field6 === 0xffff_ffff ? 'size' : `blkno=${field6}`;
        const key = keyFromFieldsText([where, which]);
        expect(formatKey(keyFromFieldsText(wordsOf(describeKey(key))))).toBe(formatKey(key));
      }),
    );
  });
});

it.each([
  ['path=base/5/16384 blkno=7', 'rel=1663/5/16384 blkno=7'],
  ['path=base/5/16384.1 blkno=7', 'rel=1663/5/16384 blkno=131079'],
  ['path=base/5/16384.32767 blkno=131070', 'rel=1663/5/16384 blkno=4294967294'],
  ['path=./base/5/16384_vm.2 blkno=0', 'rel=1663/5/16384 fork=vm blkno=262144'],
  ['path=base/5/16384_fsm size', 'rel=1663/5/16384 fork=fsm size'],
  ['path=global/1262 blkno=1', 'rel=1664/0/1262 blkno=1'],
  ['path=pg_tblspc/16400/PG_17_202406281/5/16384 blkno=1', 'rel=16400/5/16384 blkno=1'],
  ['path=base/5/pg_filenode.map', 'relmap db=1663/5'],
  ['path=global/pg_control', 'control_file'],
  ['path=pg_xact/00A1 blkno=3', 'slru=clog segno=161 blkno=3'],
  ['path=pg_multixact/members/0001 size', 'slru=multixact_members segno=1 size'],
])('%s is the key of %s', (path, fields) => {
  expect(keyFromFieldsText([path])).toEqual(keyFromFieldsText([fields]));
});

describe('fields that name no key', () => {
  it.each([
    ['', 'rel=, slru=, xid= or a kind'],
    ['blkno=7', 'found blkno'],
    ['rel=1663/5/16384', 'expected blkno=N or size'],
    ['rel=1663/5 blkno=1', 'expected spcnode/dbnode/relnode'],
    ['rel=1663/5/0 blkno=1', 'field relnode: expected an integer from 1'],
    ['rel=1663/5/16384 blkno=4294967295', 'from 0 to 4294967294'],
    ['rel=1663/5/16384 blkno=', 'field blkno'],
    ['rel=1663/5/16384 blkno=-1', 'field blkno'],
    ['rel=1663/5/16384 blkno=1e3', 'field blkno'],
    ['rel=1663/5/16384 blkno=7 blkno=8', 'field blkno: expected once, found twice'],
    ['rel=1663/5/16384 relnode=3 blkno=8', 'field relnode: expected once, found twice'],
    ['rel=1663/5/16384 blkno=7 size', 'expected no field size'],
    ['rel=1663/5/16384 blkno=7 segno=1', 'expected no field segno'],
    ['rel=1663/5/16384 fork=mian blkno=7', 'unknown fork "mian"; did you mean "main"?'],
    ['rel=1663/5/16384 fork=fms blkno=7', 'unknown fork "fms"; did you mean "fsm"?'],
    ['rel=1663/5/16384 fork=256 blkno=7', 'from 0 to 255'],
    ['rel=1663/5/16384 blockno=7', 'unknown field "blockno"; did you mean "blkno"?'],
    ['rel=1663/5/16384 zzz=7', 'expected rel, db, spcnode'],
    ['relmpa db=1663/5', 'unknown kind or field "relmpa"; did you mean "relmap"?'],
    ['relmap db=1663', 'expected spcnode/dbnode'],
    ['relmap db=0/5', 'field spcnode: expected an integer from 1'],
    ['relmap', 'expected spcnode=N'],
    ['slru=clgo', 'unknown slru "clgo"; did you mean "clog"?'],
    ['slru=clog segno=1', 'expected blkno=N or size'],
    ['slru=clog blkno=1', 'expected segno=N'],
    ['xid=0', 'from 1 to 18446744073709551615'],
    ['xid=18446744073709551616', 'field xid'],
    ['xid=999999999999999999999999999999', 'field xid'],
    ['control_file blkno=1', 'expected no field blkno'],
    ['checkpoint aux_files', 'field kind: expected once'],
    ['kind=metadata', 'expected 36 hex digits'],
    ['kind=constructor', 'unknown kind'],
    ['__proto__=1', 'unknown field'],
    ['toString', 'unknown kind'],
    ['path=base/5/16384 blkno=131072', 'field blkno: expected an integer from 0 to 131071'],
    ['path=base/5/16384.32768 blkno=0', 'field path: expected a segment below'],
    ['path=base/5/PG_VERSION blkno=0', 'field path: expected a file such as base/5/16384.1'],
    ['path=base/5/t3_16384 blkno=0', 'field path'],
    ['path=base/x/16384 blkno=0', 'field path'],
    ['path=16384 blkno=0', 'field path'],
    ['path=base/5/16384', 'expected blkno=N or size'],
    ['path=base/5/16384 fork=vm blkno=0', 'field fork: expected once'],
    ['path=pg_xact/zz blkno=0', 'field path'],
  ])('the fields "%s" name no key, and the error says what is missing', (text, part) => {
    const error = storageErrorThrownBy(() => keyFromFieldsText(text.split(' ')));
    expect(error.code).toBe('invalid-input');
    expect(error.message).toContain(part);
  });

  it.each([SAME_BLOCK.slice(1), `${SAME_BLOCK}0`, '7', 'bad'])(
    '%s is refused as a key of the wrong length, not as a kind',
    (text) => {
      const error = storageErrorThrownBy(() => parseKeyText([text]));
      expect(error.code).toBe('invalid-input');
      expect(error.message).toContain('36 hex digits');
    },
  );

  it('control characters reach no message', () => {
    const error = storageErrorThrownBy(() => keyFromFieldsText(['\u001b]52;c;=1']));
    expect(error.message).not.toContain('\u001b');
  });
});

it('the help text shows every kind that fields can name', () => {
  const shown = ['rel=', 'size', 'relmap', 'rel_dir', 'slru=', 'xid=', 'db_dir', 'twophase_dir'];
  for (const word of [...shown, 'control_file', 'checkpoint', 'aux_files']) {
    expect(KEY_FIELDS_HELP).toContain(word);
  }
});

/** Exactly the fields of the meaning, as a dump would print them. */
function wordsOf(meaning: KeyMeaning): string[] {
  return Object.entries(meaning).map(([name, value]) => `${name}=${value}`);
}
