/** Pages of a heap, and rows of pg_class, made by hand. */

export interface RowFields {
  readonly insertedBy?: number;
  readonly deletedBy?: number;
  readonly flags?: number;
  readonly columns?: Uint8Array;
}

export const FROZEN = 0x0300;
export const INSERT_COMMITTED = 0x0100;
export const INSERT_ABORTED = 0x0200;
export const DELETE_COMMITTED = 0x0400;
export const NOT_DELETED = 0x0800;

const HEADER_SIZE = 24;

/** A page with the rows in the order of their items; the default is a row that has always been there. */
export function heapPage(rows: readonly RowFields[]): Uint8Array {
  const page = new Uint8Array(8192);
  const view = new DataView(page.buffer);
  let upper = page.length;
  for (const [index, row] of rows.entries()) {
    const { insertedBy = 700, deletedBy = 0, flags = FROZEN | NOT_DELETED } = row;
    const columns = row.columns ?? classRow({ oid: index + 1, name: `r${index}`, relnode: 9 });
    const length = HEADER_SIZE + columns.length;
    upper -= Math.ceil(length / 8) * 8;
    view.setUint32(upper, insertedBy, true);
    view.setUint32(upper + 4, deletedBy, true);
    view.setUint16(upper + 18, 33, true);
    view.setUint16(upper + 20, flags, true);
    view.setUint8(upper + 22, HEADER_SIZE);
    page.set(columns, upper + HEADER_SIZE);
    view.setUint32(24 + index * 4, upper | (1 << 15) | (length << 17), true);
  }
  view.setUint16(12, 24 + rows.length * 4, true);
  view.setUint16(14, upper, true);
  view.setUint16(16, page.length, true);
  view.setUint16(18, page.length | 4, true);
  return page;
}

export interface ClassFields {
  readonly oid: number;
  readonly name: string;
  /** 0: it is in the relation map. */
  readonly relnode: number;
  readonly spcnode?: number;
  readonly isShared?: boolean;
}

/** The fixed columns of a row of pg_class. */
export function classRow({ oid, name, relnode, spcnode = 0, isShared = false }: ClassFields) {
  const columns = new Uint8Array(140);
  const view = new DataView(columns.buffer);
  view.setUint32(0, oid, true);
  columns.set(Buffer.from(name), 4);
  view.setUint32(68, 11, true);
  view.setUint32(88, relnode, true);
  view.setUint32(92, spcnode, true);
  view.setUint8(113, isShared ? 1 : 0);
  return columns;
}

/** A page of the transaction status: 1 committed, 2 aborted, 3 a part; all others are in progress. */
export function statusPage(states: Readonly<Record<number, number>>): Uint8Array {
  const page = new Uint8Array(8192);
  for (const [transaction, state] of Object.entries(states)) {
    const index = Number(transaction) % 32_768;
    const byte = index >>> 2;
    page[byte] = (page[byte] as number) | (state << ((index & 3) * 2));
  }
  return page;
}
