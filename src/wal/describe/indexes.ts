/**
 * Descriptions of the records of hash, GiST, SP-GiST and BRIN indexes; GIN's are in `gin.ts`, and B-tree's in
 * `btree.ts`. All fields are in the main data. Source: Postgres src/backend/access/rmgrdesc/hashdesc.c, gistdesc.c,
 * spgdesc.c and brindesc.c, with the structs of src/include/access.
 */
import type { ManagerTexts } from './kind-text.ts';

export const HASH_TEXTS: ManagerTexts = {
  INIT_META_PAGE: {
    layout: 'f64 tuples, u32 procedure, u16 fill',
    text: 'num_tuples {tuples:g}, fillfactor {fill}',
  },
  INIT_BITMAP_PAGE: { layout: 'u16 size', text: 'bmsize {size}' },
  INSERT: { layout: 'u16 off', text: 'off {off}' },
  ADD_OVFL_PAGE: {
    layout: 'u16 size, u8 found',
    text: 'bmsize {size}, bmpage_found {found:T/F}',
  },
  SPLIT_ALLOCATE_PAGE: {
    layout: 'u32 bucket, u16 old, u16 new, u8 flags',
    text:
      'new_bucket {bucket}, meta_page_masks_updated {flags:T/F1}, ' +
      'issplitpoint_changed {flags:T/F2}',
  },
  SPLIT_PAGE: {},
  SPLIT_COMPLETE: {
    layout: 'u16 old, u16 new',
    text: 'old_bucket_flag {old}, new_bucket_flag {new}',
  },
  MOVE_PAGE_CONTENTS: {
    layout: 'u16 count, u8 primary',
    text: 'ntups {count}, is_primary {primary:T/F}',
  },
  SQUEEZE_PAGE: {
    layout: 'u32 previous, u32 next, u16 count, u8 primary',
    text: 'prevblkno {previous}, nextblkno {next}, ntups {count}, is_primary {primary:T/F}',
  },
  DELETE: {
    layout: 'u8 clear, u8 primary',
    text: 'clear_dead_marking {clear:T/F}, is_primary {primary:T/F}',
  },
  SPLIT_CLEANUP: {},
  UPDATE_META_PAGE: { layout: 'f64 tuples', text: 'ntuples {tuples:g}' },
  VACUUM_ONE_PAGE: {
    layout: { '14-15': 'u32 horizon, i32 count', '16-17': 'u32 horizon, u16 count, u8 catalog' },
    text: {
      '14-15': 'ntuples {count}, latestRemovedXid {horizon}',
      16: 'ntuples {count}, snapshotConflictHorizon {horizon}',
      17: 'ntuples {count}, snapshotConflictHorizon {horizon}, isCatalogRel {catalog:T/F}',
    },
  },
};

const GIST_REUSE_14 = 'relation relation, u32 block, u64 horizon';

export const GIST_TEXTS: ManagerTexts = {
  PAGE_UPDATE: {},
  DELETE: {
    layout: { '14-15': 'u32 horizon, u16 count', '16-17': 'u32 horizon, u16 count, u8 catalog' },
    text: {
      '14-15': 'delete: latestRemovedXid {horizon}, nitems: {count}',
      16: 'delete: snapshotConflictHorizon {horizon}, nitems: {count}',
      17: 'delete: snapshotConflictHorizon {horizon}, nitems: {count}, isCatalogRel {catalog:T/F}',
    },
  },
  PAGE_REUSE: {
    layout: { '14-16': GIST_REUSE_14, 17: `${GIST_REUSE_14}, u8 catalog` },
    text: {
      '14-15': 'rel {relation}; blk {block}; latestRemovedXid {horizon:full}',
      16: 'rel {relation}; blk {block}; snapshotConflictHorizon {horizon:full}',
      17:
        'rel {relation}; blk {block}; snapshotConflictHorizon {horizon:full}, ' +
        'isCatalogRel {catalog:T/F}',
    },
  },
  PAGE_SPLIT: {
    layout: 'u32 right, _4, u64 nsn, u8 leaf, _1, u16 count, u8 mark',
    text: 'page_split: splits to {count} pages',
  },
  PAGE_DELETE: {
    layout: 'u64 xid, u16 downlink',
    text: 'deleteXid {xid:full}; downlink {downlink}',
  },
  ASSIGN_LSN: {},
};

const REDIRECT_14 = 'u16 count, u16 first, u32 horizon';

export const SPGIST_TEXTS: ManagerTexts = {
  ADD_LEAF: {
    layout: 'u8 page, u8 nulls, u16 leaf, u16 head, u16 parent, u16 node',
    text:
      'off: {leaf}, headoff: {head}, parentoff: {parent}, nodeI: {node}' +
      '{page? (newpage)}{nulls? (nulls)}',
  },
  MOVE_LEAFS: {
    layout: 'u16 count, u8 page, u8 dead, u8 nulls, _1, u16 parent, u16 node',
    text:
      'nmoves: {count}, parentoff: {parent}, nodeI: {node}' +
      '{page? (newpage)}{dead? (replacedead)}{nulls? (nulls)}',
  },
  ADD_NODE: {
    layout: 'u16 off, u16 new, u8 page, i8 block, u16 parent, u16 node',
    text:
      'off: {off}, newoff: {new}, parentBlk: {block}, parentoff: {parent}, nodeI: {node}' +
      '{page? (newpage)}',
  },
  SPLIT_TUPLE: {
    layout: 'u16 prefix, u16 postfix, u8 page, u8 same',
    text: 'prefixoff: {prefix}, postfixoff: {postfix}{page? (newpage)}{same? (same)}',
  },
  PICKSPLIT: {
    layout:
      'u8 root, _1, u16 deleted, u16 inserted, u8 source, u8 target, u16 inner, u8 init, u8 nulls, ' +
      'u8 parentInner, _1, u16 parent, u16 node',
    text:
      'ndelete: {deleted}, ninsert: {inserted}, inneroff: {inner}, parentoff: {parent}, nodeI: {node}' +
      '{parentInner? (innerIsParent)}{nulls? (nulls)}{root? (isRootSplit)}',
  },
  VACUUM_LEAF: {
    layout: 'u16 dead, u16 placeholder, u16 move, u16 chain',
    text: 'ndead: {dead}, nplaceholder: {placeholder}, nmove: {move}, nchain: {chain}',
  },
  VACUUM_ROOT: { layout: 'u16 count', text: 'ndelete: {count}' },
  VACUUM_REDIRECT: {
    layout: { '14-15': REDIRECT_14, '16-17': `${REDIRECT_14}, u8 catalog` },
    text: {
      '14-15': 'ntoplaceholder: {count}, firstplaceholder: {first}, newestredirectxid: {horizon}',
      16: 'ntoplaceholder: {count}, firstplaceholder: {first}, snapshotConflictHorizon: {horizon}',
      17:
        'ntoplaceholder: {count}, firstplaceholder: {first}, snapshotConflictHorizon: {horizon}, ' +
        'isCatalogRel: {catalog:T/F}',
    },
  },
};

export const BRIN_TEXTS: ManagerTexts = {
  CREATE_INDEX: {
    layout: 'u32 pages, u16 version',
    text: 'v{version} pagesPerRange {pages}',
  },
  INSERT: {
    layout: 'u32 block, u32 pages, u16 off',
    text: 'heapBlk {block} pagesPerRange {pages} offnum {off}',
  },
  UPDATE: {
    layout: 'u16 old, _2, u32 block, u32 pages, u16 new',
    text: 'heapBlk {block} pagesPerRange {pages} old offnum {old}, new offnum {new}',
  },
  SAMEPAGE_UPDATE: { layout: 'u16 off', text: 'offnum {off}' },
  REVMAP_EXTEND: { layout: 'u32 block', text: 'targetBlk {block}' },
  DESUMMARIZE: {
    layout: 'u32 pages, u32 block, u16 off',
    text: 'pagesPerRange {pages}, heapBlk {block}, page offset {off}',
  },
};
