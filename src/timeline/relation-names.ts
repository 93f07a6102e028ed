/**
 * Names of relations, from the catalog of each database as its pages are at an LSN:
 *
 *   1. The relation map of the database has the file number of pg_class.
 *   2. Rows of pg_class name relations. Those without a file number are in a relation map: the shared ones in
 *      that of the shared catalogs.
 *   3. A row counts if the transactions that made it say so, by its flags or by the transaction status.
 *
 * Rows and blocks that cannot be read or decided are counted, and their relations remain without a name.
 */
import { isStorageError } from '../errors.ts';
import { formatKey, type Key } from '../layers/key.ts';
import {
  type HeapTuple,
  heapTuples,
  openTransactions,
  rowState,
  type TransactionEnd,
} from '../postgres/heap-page.ts';
import {
  type DatabaseId,
  GLOBAL_TABLESPACE_OID,
  relationBlockKey,
  relationMapKey,
  slruBlockKey,
} from '../postgres/key-mapping.ts';
import { type CatalogRelation, decodeCatalogRelation, PG_CLASS_OID } from '../postgres/pg-class.ts';
import { decodeRelationMap } from '../postgres/relation-map.ts';
import { endInPage, statusBlockOf } from '../postgres/transaction-status.ts';
import type { CatalogReading, DatabaseListing, RelationListing } from './directory.ts';
import type { MaterializeOptions } from './materialize.ts';
import { imageValueOf, type ReadKeys, resultOf } from './read-page.ts';

/** Blocks of pg_class that are read. */
const MAXIMUM_BLOCKS = 16_384;
/** Pages of one read. */
const PAGES_PER_READ = 1024;

export interface NamesSource {
  readonly read: ReadKeys;
  readonly making: MaterializeOptions;
}

/** The same databases, with names. Throws `corrupt` and `truncated` for pages and relation maps; as reads. */
export async function withRelationNames(
  source: NamesSource,
  databases: readonly DatabaseListing[],
): Promise<DatabaseListing[]> {
  const maps = await readRelationMaps(source, databases);
  const shared = new Map<number, CatalogRelation>();
  const sharedFiles = maps.get(nameOfDatabase({ spcnode: GLOBAL_TABLESPACE_OID, dbnode: 0 }));
  const catalogs = new Map<number, Catalog>();
  for (const database of databases) {
    const files = maps.get(nameOfDatabase(database));
    if (files === undefined || database.dbnode === 0) continue;
    const catalog = await readCatalog(source, database, files);
    if (catalog === undefined) continue;
    catalogs.set(database.dbnode, catalog);
    for (const row of catalog.shared) {
      const relnode = row.relnode || sharedFiles?.get(row.oid);
      if (relnode !== undefined) shared.set(relnode, row);
    }
  }
  return databases.map((database) => {
    const { spcnode, dbnode } = database;
    const catalog = catalogs.get(dbnode);
    const nameOf = (relnode: number): CatalogRelation | undefined =>
      dbnode === 0 ? shared.get(relnode) : catalog?.own.get(nameOfFile(spcnode, relnode));
    return {
      ...database,
      catalog: catalog?.reading,
      relations: database.relations?.map((relation) => withName(relation, nameOf)),
    };
  });
}

function withName(
  relation: RelationListing,
  nameOf: (relnode: number) => CatalogRelation | undefined,
): RelationListing {
  const row = nameOf(relation.relnode);
  return row === undefined ? relation : { ...relation, oid: row.oid, name: row.name };
}

/** File numbers by OID, of each database that has a map. */
async function readRelationMaps(
  { read, making }: NamesSource,
  databases: readonly DatabaseListing[],
): Promise<Map<string, ReadonlyMap<number, number>>> {
  const mapped = databases.filter(({ hasRelationMap }) => hasRelationMap);
  const maps = new Map<string, ReadonlyMap<number, number>>();
  const found = await read(mapped.map(relationMapKey));
  for (const [index, database] of mapped.entries()) {
    const bytes = imageValueOf(found[index]);
    if (bytes === undefined) continue;
    const version = making.pgVersion ?? (bytes.length === SIZE_BEFORE_16 ? 15 : 17);
    const mappings = placed(relationMapKey(database), () => decodeRelationMap(bytes, version));
    const files = new Map(mappings.map(({ oid, relnode }) => [oid, relnode]));
    maps.set(nameOfDatabase(database), files);
  }
  return maps;
}

/** Of a relation map, in bytes. */
const SIZE_BEFORE_16 = 512;

interface Catalog {
  readonly reading: CatalogReading;
  /** By tablespace and file number. */
  readonly own: ReadonlyMap<string, CatalogRelation>;
  readonly shared: readonly CatalogRelation[];
}

/** Undefined if the database has no pg_class of a known size. */
async function readCatalog(
  source: NamesSource,
  database: DatabaseListing,
  files: ReadonlyMap<number, number>,
): Promise<Catalog | undefined> {
  const relnode = files.get(PG_CLASS_OID);
  const listed = database.relations?.find(
    (relation) => relation.relnode === relnode && relation.fork === 'main',
  );
  const blockCount = listed?.blockCount;
  if (relnode === undefined || blockCount === undefined) return undefined;
  const { rows, readCount } = await readRows(source, { ...database, relnode, blockCount });
  const ends = await transactionEnds(source, rows);
  const own = new Map<string, CatalogRelation>();
  const shared: CatalogRelation[] = [];
  let undecidedRowCount = 0;
  for (const { tuple, relation } of rows) {
    const state = rowState(tuple, (transaction) => ends.get(transaction));
    if (state === 'undecided') undecidedRowCount += 1;
    if (state !== 'alive') continue;
    if (relation.isShared) {
      shared.push(relation);
      continue;
    }
    const file = relation.relnode || files.get(relation.oid);
    const spcnode = relation.spcnode || database.spcnode;
    if (file !== undefined) own.set(nameOfFile(spcnode, file), relation);
  }
  const reading = { blockCount, unreadBlockCount: blockCount - readCount, undecidedRowCount };
  return { reading, own, shared };
}

interface CatalogRow {
  /** Without its columns, so that pages need not stay in memory. */
  readonly tuple: HeapTuple;
  readonly relation: CatalogRelation;
}

async function readRows(
  { read, making }: NamesSource,
  pgClass: DatabaseId & { readonly relnode: number; readonly blockCount: number },
): Promise<{ readonly rows: readonly CatalogRow[]; readonly readCount: number }> {
  const { spcnode, dbnode, relnode, blockCount } = pgClass;
  const end = Math.min(blockCount, MAXIMUM_BLOCKS);
  const rows: CatalogRow[] = [];
  let readCount = 0;
  for (let from = 0; from < end; from += PAGES_PER_READ) {
    const length = Math.min(PAGES_PER_READ, end - from);
    const keys = Array.from({ length }, (_, index) =>
      relationBlockKey({ spcnode, dbnode, relnode, fork: 'main', blkno: from + index }),
    );
    for (const { key, page } of await readPages({ read, making }, keys)) {
      if (page === undefined) continue;
      readCount += 1;
      for (const row of placed(key, () => rowsOfPage(page))) rows.push(row);
    }
  }
  return { rows, readCount };
}

function rowsOfPage(page: Uint8Array): CatalogRow[] {
  return Array.from(heapTuples(page), (tuple) => ({
    tuple: { ...tuple, columns: NO_BYTES },
    relation: decodeCatalogRelation(tuple),
  }));
}

const NO_BYTES = new Uint8Array(0);

/** The outcome of all transactions for which the flags of the rows do not state it. */
async function transactionEnds(
  source: NamesSource,
  rows: readonly CatalogRow[],
): Promise<ReadonlyMap<number, TransactionEnd>> {
  const byBlock = new Map<string, { readonly key: Key; readonly transactions: Set<number> }>();
  for (const { tuple } of rows) {
    for (const transaction of openTransactions(tuple)) {
      const key = slruBlockKey(statusBlockOf(transaction));
      const name = formatKey(key);
      const block = byBlock.get(name) ?? { key, transactions: new Set() };
      block.transactions.add(transaction);
      byBlock.set(name, block);
    }
  }
  const ends = new Map<number, TransactionEnd>();
  const blocks = [...byBlock.values()];
  for (let from = 0; from < blocks.length; from += PAGES_PER_READ) {
    const part = blocks.slice(from, from + PAGES_PER_READ);
    const pages = await readPages(
      source,
      part.map(({ key }) => key),
    );
    for (const [index, { transactions }] of part.entries()) {
      const page = pages[index]?.page;
      if (page === undefined) continue;
      for (const transaction of transactions) ends.set(transaction, endInPage(page, transaction));
    }
  }
  return ends;
}

/** In the order of the keys; undefined for a page that needs redo or is missing. */
async function readPages(
  { read, making }: NamesSource,
  keys: readonly Key[],
): Promise<{ readonly key: Key; readonly page: Uint8Array | undefined }[]> {
  const pages: { readonly key: Key; readonly page: Uint8Array | undefined }[] = [];
  for (const reconstruction of await read(keys)) {
    const result = await resultOf(reconstruction, making);
    const page = result.kind === 'page' ? result.bytes : undefined;
    pages.push({ key: reconstruction.key, page });
  }
  return pages;
}

function nameOfDatabase({ spcnode, dbnode }: DatabaseId): string {
  return `${spcnode}/${dbnode}`;
}

function nameOfFile(spcnode: number, relnode: number): string {
  return `${spcnode}/${relnode}`;
}

/** Adds the key to what `decode` throws; offsets are those in its value. */
function placed<T>(key: Key, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw isStorageError(error) ? error.with({ key: formatKey(key) }) : error;
  }
}
