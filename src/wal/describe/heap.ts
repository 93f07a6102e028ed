/**
 * Descriptions of the heap's records: resource managers Heap, Heap2 and neon.
 *
 * Neon's own resource manager writes the records of Heap with an additional command id. Its own text function
 * interprets two of its kinds by the numbers of Heap; here each is described as what it is. Source: Postgres
 * src/include/access/heapam_xlog.h, src/backend/access/rmgrdesc/heapdesc.c; Neon pgxn/neon_rmgr/neon_rmgr_desc.c.
 */
import {
  describeFreezePlans,
  describePrune16,
  describePrune17,
  describeUnused16,
} from './heap-prune.ts';
import { blockDataOf, type KindText, type ManagerTexts, type Subject } from './kind-text.ts';
import { ListReader } from './lists.ts';

const INSERT: KindText = {
  layout: 'u16 off, u8 flags',
  text: {
    '14-15': 'off {off} flags 0x{flags:X2}',
    '16-17': 'off: {off}, flags: 0x{flags:X2}',
  },
};

const UPDATE_16 =
  'old_xmax: {old_xmax}, old_off: {old_off}, old_infobits: [{infobits:list}], flags: 0x{flags:X2}, ' +
  'new_xmax: {new_xmax}, new_off: {new_off}';
const NEON_UPDATE =
  'u32 old_xmax, u16 old_off, u8 infobits, u8 flags, u32 command, u32 new_xmax, u16 new_off';

const UPDATE: KindText = {
  layout: 'u32 old_xmax, u16 old_off, u8 infobits, u8 flags, u32 new_xmax, u16 new_off',
  neonLayout: NEON_UPDATE,
  text: {
    '14-15':
      'off {old_off} xmax {old_xmax} flags 0x{flags:X2} {infobits:names}; ' +
      'new off {new_off} xmax {new_xmax}',
    '16-17': UPDATE_16,
  },
};

const XMAX = 'u32 xmax, u16 off, u8 infobits, u8 flags';
const NEON_XMAX = 'u32 xmax, u16 off, _2, u32 command, u8 infobits, u8 flags';
const XMAX_16 = 'xmax: {xmax}, off: {off}, infobits: [{infobits:list}], flags: 0x{flags:X2}';

const OFFSET: KindText = {
  layout: 'u16 off',
  text: { '14-15': 'off {off}', '16-17': 'off: {off}' },
};

export const HEAP_TEXTS: ManagerTexts = {
  INSERT,
  DELETE: {
    layout: XMAX,
    neonLayout: NEON_XMAX,
    text: { '14-15': 'off {off} flags 0x{flags:X2} {infobits:names}', '16-17': XMAX_16 },
  },
  UPDATE,
  TRUNCATE: {
    layout: 'u32 database, u32 count, u8 flags, _3',
    more: { '14-15': describeTruncated14, '16-17': describeTruncated16 },
  },
  HOT_UPDATE: UPDATE,
  HEAP_CONFIRM: OFFSET,
  LOCK: {
    layout: XMAX,
    neonLayout: NEON_XMAX,
    text: {
      '14-15': 'off {off}: xid {xmax}: flags 0x{flags:X2} {infobits:names}',
      '16-17': XMAX_16,
    },
  },
  INPLACE: OFFSET,
};

export const HEAP2_TEXTS: ManagerTexts = {
  REWRITE: {},
  PRUNE: {
    layout: 'u32 horizon, u16 redirected, u16 dead',
    text: {
      '14-15': 'latestRemovedXid {horizon} nredirected {redirected} ndead {dead}',
      16: 'snapshotConflictHorizon: {horizon}, nredirected: {redirected}, ndead: {dead}',
    },
    more: { 16: describePrune16 },
  },
  VACUUM: {
    layout: 'u16 count',
    text: { '14-15': 'nunused {count}', 16: 'nunused: {count}' },
    more: { 16: describeUnused16 },
  },
  FREEZE_PAGE: {
    layout: 'u32 horizon, u16 count',
    text: {
      '14-15': 'cutoff xid {horizon} ntuples {count}',
      16: 'snapshotConflictHorizon: {horizon}, nplans: {count}',
    },
    more: { 16: describeFreezePlans },
  },
  PRUNE_ON_ACCESS: { layout: 'u8 reason, u8 flags', more: describePrune17 },
  PRUNE_VACUUM_SCAN: { layout: 'u8 reason, u8 flags', more: describePrune17 },
  PRUNE_VACUUM_CLEANUP: { layout: 'u8 reason, u8 flags', more: describePrune17 },
  VISIBLE: {
    layout: 'u32 horizon, u8 flags',
    text: {
      '14-15': 'cutoff xid {horizon} flags 0x{flags:X2}',
      '16-17': 'snapshotConflictHorizon: {horizon}, flags: 0x{flags:X2}',
    },
  },
  MULTI_INSERT: {
    layout: 'u8 flags, _1, u16 count',
    text: {
      '14-15': '{count} tuples flags 0x{flags:X2}',
      '16-17': 'ntuples: {count}, flags: 0x{flags:X2}',
    },
    more: { '16-17': (subject) => describeInserted(subject, MULTI_INSERT_SIZE) },
  },
  LOCK_UPDATED: {
    layout: XMAX,
    text: {
      '14-15': 'off {off}: xmax {xmax}: flags 0x{flags:X2} {infobits:names}',
      '16-17': XMAX_16,
    },
  },
  NEW_CID: {
    layout: 'u32 top, u32 cmin, u32 cmax, u32 combo, relation relation, block block, u16 off',
    text: {
      '14-15': 'rel {relation}; tid {block}/{off}; cmin: {cmin}, cmax: {cmax}, combo: {combo}',
      '16-17': 'rel: {relation}, tid: {block}/{off}, cmin: {cmin}, cmax: {cmax}, combo: {combo}',
    },
  },
};

export const NEON_TEXTS: ManagerTexts = {
  INSERT,
  DELETE: { layout: `${XMAX}, u32 command`, text: XMAX_16 },
  UPDATE: { layout: NEON_UPDATE, text: UPDATE_16 },
  HOT_UPDATE: { layout: NEON_UPDATE, text: UPDATE_16 },
  LOCK: { layout: 'u32 xmax, u32 command, u16 off, u8 infobits, u8 flags', text: XMAX_16 },
  MULTI_INSERT: {
    layout: 'u8 flags, _1, u16 count, u32 command',
    text: 'ntuples: {count}, flags: 0x{flags:X2}',
    more: (subject) => describeInserted(subject, NEON_MULTI_INSERT_SIZE),
  },
};

const MULTI_INSERT_SIZE = 4;
const NEON_MULTI_INSERT_SIZE = 8;
const MULTI_INSERT_COUNT_AT = 2;
const INIT_PAGE = 0x80;

/** The offsets of the rows; on a page that is initialized they start at 1, and the record does not contain them. */
function describeInserted(subject: Subject, offsetsAt: number): string {
  const isInit = (subject.record.info & INIT_PAGE) !== 0;
  if (isInit || blockDataOf(subject) === undefined) return '';
  const count = new ListReader(subject.data, MULTI_INSERT_COUNT_AT).u16('number of rows');
  return `, offsets: ${new ListReader(subject.data, offsetsAt).u16List('offsets of the rows', count)}`;
}

const TRUNCATE_COUNT_AT = 4;
const TRUNCATE_FLAGS_AT = 8;
const TRUNCATE_LIST_AT = 12;
const CASCADE = 1;
const RESTART_SEQUENCES = 2;

function describeTruncated14({ data }: Subject): string {
  const { flags, count, reader } = truncatedOf(data);
  const cascade = (flags & CASCADE) === 0 ? '' : 'cascade ';
  const restart = (flags & RESTART_SEQUENCES) === 0 ? '' : 'restart_seqs ';
  let text = `${cascade}${restart}nrelids ${count} relids`;
  for (let index = 0; index < count; index += 1) text += ` ${reader.u32('relations')}`;
  return text;
}

function describeTruncated16({ data }: Subject): string {
  const { flags, count, reader } = truncatedOf(data);
  const names = [
    ...((flags & CASCADE) === 0 ? [] : ['CASCADE']),
    ...((flags & RESTART_SEQUENCES) === 0 ? [] : ['RESTART_SEQS']),
  ];
  const relations = reader.u32List('relations', count);
  return `flags: [${names.join(', ')}], nrelids: ${count}, relids: ${relations}`;
}

function truncatedOf(data: Uint8Array): { flags: number; count: number; reader: ListReader } {
  const count = new ListReader(data, TRUNCATE_COUNT_AT).u32('number of relations');
  const flags = new ListReader(data, TRUNCATE_FLAGS_AT).u8('flags');
  const reader = new ListReader(data, TRUNCATE_LIST_AT);
  return { flags, count, reader };
}
