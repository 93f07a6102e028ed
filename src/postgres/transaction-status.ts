/**
 * Transaction status (pg_xact): two bits for each transaction, from the low bits of each byte on.
 *
 *   0 in progress, or ended by a crash   1 committed   2 aborted   3 a part of a transaction that is committing
 *
 * 32,768 transactions to a page, 32 pages to a segment.
 * Source: Postgres src/backend/access/transam/clog.c.
 */
import { assert } from '../assert.ts';
import type { TransactionEnd } from './heap-page.ts';
import { slruBlockOfPage } from './key-mapping.ts';
import { PAGE_SIZE } from './page.ts';

const TRANSACTIONS_PER_PAGE = PAGE_SIZE * 4;
const COMMITTED = 1;
const COMMITTING_PART = 3;

/** The block that has the status of a transaction. */
export function statusBlockOf(transaction: number) {
  return slruBlockOfPage('clog', Math.floor(transaction / TRANSACTIONS_PER_PAGE));
}

/** How a transaction ended, by the page of its block; undefined if that of its parent decides. */
export function endInPage(page: Uint8Array, transaction: number): TransactionEnd {
  assert(page.length >= PAGE_SIZE, 'the page is complete');
  const index = transaction % TRANSACTIONS_PER_PAGE;
  const status = ((page[index >>> 2] as number) >>> ((index & 3) * 2)) & 3;
  if (status === COMMITTING_PART) return undefined;
  return status === COMMITTED ? 'committed' : 'not-committed';
}
