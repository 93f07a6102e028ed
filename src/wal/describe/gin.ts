/**
 * Descriptions of the records of GIN indexes.
 *
 *   INSERT   main: u16 flags, and unless it is a leaf the left and the right child, each u16 high, u16 low
 *            block 0, without an image: of the tree of entries u16 offset, u8 is delete; of a leaf of a posting tree
 *            segments; else u16 offset, then child, row's block and row's offset
 *   segments u16 n, n * (u8 number, u8 action): 1 delete; 2 insert and 3 replace with a posting list: 6 bytes,
 *            u16 length, that many bytes, rounded up to 2; 4 add with u16 n, n * 6
 *
 * Source: Postgres src/include/access/ginxlog.h, src/backend/access/rmgrdesc/gindesc.c.
 */
import { blockIn, u16In } from '../main-data/layout.ts';
import { blockOf, type ManagerTexts, requiredBlockData, type Subject } from './kind-text.ts';
import { ListReader } from './lists.ts';

const IS_DATA = 1;
const IS_LEAF = 2;

export const GIN_TEXTS: ManagerTexts = {
  CREATE_PTREE: {},
  INSERT: {
    layout: 'u16 flags',
    text: 'isdata: {flags:T/F1} isleaf: {flags:T/F2}',
    more: describeInserted,
  },
  SPLIT: {
    layout: 'relation relation, u32 right, u32 leftChild, u32 rightChild, u16 flags',
    text: 'isrootsplit: {flags:T/F4} isdata: {flags:T/F1} isleaf: {flags:T/F2}',
  },
  VACUUM_PAGE: {},
  DELETE_PAGE: {},
  UPDATE_META_PAGE: {},
  INSERT_LISTPAGE: {},
  DELETE_LISTPAGE: { layout: '_56, i32 count', text: 'ndeleted: {count}' },
  VACUUM_DATA_LEAF_PAGE: { more: (subject) => imageNote(subject) ?? segments(subject) },
};

const CHILDREN_AT = 2;

function describeInserted(subject: Subject): string {
  const flags = u16In(subject.data, 0);
  const isLeaf = (flags & IS_LEAF) !== 0;
  const children = isLeaf ? '' : childrenOf(subject.data);
  return children + (imageNote(subject) ?? describeChange(subject, flags));
}

function childrenOf(data: Uint8Array): string {
  const at = new ListReader(data, CHILDREN_AT).take('children', 8);
  return ` children: ${blockIn(data, at)}/${blockIn(data, at + 4)}`;
}

/** The text in place of the change if the record has an image; undefined without one. */
function imageNote(subject: Subject): string | undefined {
  const image = blockOf(subject, 0)?.image;
  if (image === undefined) return undefined;
  return image.apply ? ' (full page image)' : ' (full page image, for WAL verification)';
}

function describeChange(subject: Subject, flags: number): string {
  if ((flags & IS_DATA) !== 0 && (flags & IS_LEAF) !== 0) return segments(subject);
  const data = requiredBlockData(subject);
  const reader = new ListReader(data, 2);
  if ((flags & IS_DATA) === 0) return ` isdelete: ${reader.u8('delete flag') === 0 ? 'F' : 'T'}`;
  const at = reader.take('posting item', 10);
  return ` pitem: ${blockIn(data, at)}-${blockIn(data, at + 4)}/${u16In(data, at + 8)}`;
}

const DELETE = 1;
const INSERT = 2;
const REPLACE = 3;
const ADD_ITEMS = 4;
const ITEM_SIZE = 6;

function segments(subject: Subject): string {
  const reader = new ListReader(requiredBlockData(subject));
  const count = reader.u16('number of segments');
  let text = ` ${count} segments:`;
  for (let index = 0; index < count; index += 1) {
    text += ` ${reader.u8('number of a segment')}`;
    const action = reader.u8('action of a segment');
    const name = actionText(reader, action);
    // After an unknown action, the length of the rest is unknown.
    if (name === undefined) return `${text} unknown action ${action} ???`;
    text += name;
  }
  return text;
}

function actionText(reader: ListReader, action: number): string | undefined {
  switch (action) {
    case DELETE:
      return ' (delete)';
    case INSERT:
      skipPostingList(reader);
      return ' (insert)';
    case REPLACE:
      skipPostingList(reader);
      return ' (replace)';
    case ADD_ITEMS: {
      const count = reader.u16('number of items');
      reader.take('items', count * ITEM_SIZE);
      return ` (add ${count} items)`;
    }
    default:
      return undefined;
  }
}

function skipPostingList(reader: ListReader): void {
  reader.take('posting list', ITEM_SIZE);
  const length = reader.u16('length of a posting list');
  reader.take('posting list', length + (length % 2));
}
