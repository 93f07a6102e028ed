/**
 * Descriptions of the records of B-tree indexes.
 *
 * The data of block 0 of DELETE and VACUUM: the u16 offsets of what is deleted, those of what is updated, and for each
 * update u16 n, n * u16. Of META_CLEANUP: u32 version, root, level, fast root, its level, deleted pages.
 * Source: Postgres src/include/access/nbtxlog.h, src/backend/access/rmgrdesc/nbtdesc.c.
 */
import {
  blockDataOf,
  type KindText,
  type ManagerTexts,
  requiredBlockData,
  type Subject,
} from './kind-text.ts';
import { ListReader } from './lists.ts';

const OFFSET: KindText = {
  layout: 'u16 off',
  text: { '14-15': 'off {off}', '16-17': 'off: {off}' },
};

const SPLIT: KindText = {
  layout: 'u32 level, u16 first, u16 new, u16 posting',
  text: {
    '14-15': 'level {level}, firstrightoff {first}, newitemoff {new}, postingoff {posting}',
    '16-17': 'level: {level}, firstrightoff: {first}, newitemoff: {new}, postingoff: {posting}',
  },
};

const UNLINK: KindText = {
  layout: 'u32 left, u32 right, u32 level, _4, u64 safe, u32 leafleft, u32 leafright, u32 top',
  text: {
    '14-15':
      'left {left}; right {right}; level {level}; safexid {safe:full}; leafleft {leafleft}; ' +
      'leafright {leafright}; leaftopparent {top}',
    '16-17':
      'left: {left}, right: {right}, level: {level}, safexid: {safe:full}, leafleft: {leafleft}, ' +
      'leafright: {leafright}, leaftopparent: {top}',
  },
};

const DELETE_14 = 'u32 horizon, u16 deleted, u16 updated';
const REUSE_14 = 'relation relation, u32 block, u64 horizon';

export const BTREE_TEXTS: ManagerTexts = {
  INSERT_LEAF: OFFSET,
  INSERT_UPPER: OFFSET,
  INSERT_META: OFFSET,
  SPLIT_L: SPLIT,
  SPLIT_R: SPLIT,
  INSERT_POST: OFFSET,
  DEDUP: {
    layout: 'u16 count',
    text: { '14-15': 'nintervals {count}', '16-17': 'nintervals: {count}' },
  },
  DELETE: {
    layout: { '14-15': DELETE_14, '16-17': `${DELETE_14}, u8 catalog` },
    text: {
      '14-15': 'latestRemovedXid {horizon}; ndeleted {deleted}; nupdated {updated}',
      16: 'snapshotConflictHorizon: {horizon}, ndeleted: {deleted}, nupdated: {updated}',
      17:
        'snapshotConflictHorizon: {horizon}, ndeleted: {deleted}, nupdated: {updated}, ' +
        'isCatalogRel: {catalog:T/F}',
    },
    more: { '16-17': (subject) => describeDeleted(subject, DELETE_COUNTS_AT) },
  },
  UNLINK_PAGE: UNLINK,
  UNLINK_PAGE_META: UNLINK,
  NEWROOT: {
    layout: 'u32 root, u32 level',
    text: { '14-15': 'lev {level}', '16-17': 'level: {level}' },
  },
  MARK_PAGE_HALFDEAD: {
    layout: 'u16 off, _2, u32 leaf, u32 left, u32 right, u32 top',
    text: {
      '14-15': 'topparent {top}; leaf {leaf}; left {left}; right {right}',
      '16-17': 'topparent: {top}, leaf: {leaf}, left: {left}, right: {right}',
    },
  },
  VACUUM: {
    layout: 'u16 deleted, u16 updated',
    text: {
      '14-15': 'ndeleted {deleted}; nupdated {updated}',
      '16-17': 'ndeleted: {deleted}, nupdated: {updated}',
    },
    more: { '16-17': (subject) => describeDeleted(subject, 0) },
  },
  REUSE_PAGE: {
    layout: { '14-16': REUSE_14, 17: `${REUSE_14}, u8 catalog` },
    text: {
      '14-15': 'rel {relation}; latestRemovedXid {horizon:full}',
      16: 'rel: {relation}, snapshotConflictHorizon: {horizon:full}',
      17:
        'rel: {relation}, snapshotConflictHorizon: {horizon:full}, ' +
        'isCatalogRel: {catalog:T/F}',
    },
  },
  META_CLEANUP: {
    more: {
      '14-15': (subject) => `last_cleanup_num_delpages ${deletedPages(subject)}`,
      '16-17': (subject) => `last_cleanup_num_delpages: ${deletedPages(subject)}`,
    },
  },
};

const DELETE_COUNTS_AT = 4;
const DELETED_PAGES_AT = 20;

function deletedPages(subject: Subject): number {
  return new ListReader(requiredBlockData(subject), DELETED_PAGES_AT).u32('deleted pages');
}

function describeDeleted(subject: Subject, countsAt: number): string {
  const block = blockDataOf(subject);
  if (block === undefined) return '';
  const main = new ListReader(subject.data, countsAt);
  const deletedCount = main.u16('number of deleted entries');
  const updatedCount = main.u16('number of updated entries');
  const reader = new ListReader(block);
  const deleted = reader.u16List('deleted entries', deletedCount);
  const offsets = new ListReader(block, reader.take('updated entries', updatedCount * 2));
  const updates: string[] = [];
  while (updates.length < updatedCount) {
    const offset = offsets.u16('offset of an entry');
    const count = reader.u16('number of rows of an entry');
    const rows = reader.u16List('rows of an entry', count);
    updates.push(`{ off: ${offset}, nptids: ${count}, ptids: ${rows} }`);
  }
  return `, deleted: ${deleted}, updated: [${updates.join(', ')}]`;
}
