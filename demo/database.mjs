/**
 * The Postgres of the demo: PGlite, the real server compiled to WebAssembly. It writes an ordinary
 * data directory with page checksums, and a clean shutdown leaves all of its state in the files.
 */
import { PGlite } from '@electric-sql/pglite';

/** Runs the SQL, each string in a separate transaction, and shuts the server down. */
export async function runPostgres(dataDirectory, transactions) {
  const server = await PGlite.create({
    dataDir: dataDirectory,
    initDbStartParams: ['--data-checksums'],
  });
  try {
    for (const sql of transactions) await server.exec(sql);
    const version = await server.query("select current_setting('server_version') as version");
    const relations = await server.query(RELATION_NAMES);
    const rows = await server.query(`select sum(count)::int as count from (${ROW_COUNTS}) as t`);
    return {
      version: version.rows[0].version,
      rowCount: rows.rows[0].count,
      relationNames: new Map(relations.rows.map(({ node, name }) => [node, name])),
    };
  } finally {
    await server.close();
  }
}

const RELATION_NAMES = `
  select pg_relation_filenode(oid)::int as node, relname as name from pg_class
  where pg_relation_filenode(oid) is not null and oid >= 16384`;

const ROW_COUNTS = `
  select count(*) from customer union all select count(*) from purchase
  union all select count(*) from message`;

/** State 1: an index that is in random order, long values (TOAST), a map of what is visible. */
export const FILL = [
  `
  create table customer (id int primary key, name text not null, city text not null);
  insert into customer
    select i, 'customer ' || i, (array['Berlin', 'Lisbon', 'Osaka', 'Quito'])[1 + i % 4]
    from generate_series(1, 20000) as i;

  create table purchase (
    id bigint primary key, customer int not null, placed timestamptz not null,
    cents int not null, note text);
  insert into purchase
    select i, 1 + i * 7919::bigint % 20000, timestamptz '2024-01-01' + i * interval '97 s',
      100 + i * 31::bigint % 99900, md5(i::text)
    from generate_series(1, 300000) as i;
  create index purchase_by_customer on purchase (customer, placed);

  create table message (id int primary key, body text not null);
  insert into message select i, 'message ' || i || repeat(' ' || md5(i::text), i % 9)
    from generate_series(1, 40000) as i;

  create table document (id int primary key, body text not null);
  alter table document alter column body set storage external;
  insert into document select i, repeat(md5(i::text), 200) from generate_series(1, 400) as i;

  create table staging as select i, md5(i::text) as body from generate_series(1, 20000) as i;`,
  'vacuum analyze',
];

/** State 2: pages change, relations grow, shrink, appear, disappear; a relation map changes. */
export const CHANGE = [
  `
  update purchase set note = 'returned', cents = 0 where id % 500 = 0;
  insert into purchase
    select i, 1 + i % 20000, timestamptz '2025-01-01', 500, md5(i::text)
    from generate_series(300001, 312000) as i;
  delete from message where id > 10000;`,
  'vacuum message',
  `
  drop table staging;
  truncate document;
  create table refund as select id, customer from purchase where cents = 0;
  create index on refund (customer);`,
  'vacuum full pg_class',
];

/** State 3: a few rows of the first block, and a batch of new ones. */
export const CHANGE_AGAIN = [
  "update customer set city = 'Lima' where id = 1",
  "update customer set city = 'Cusco' where id = 2",
  `insert into customer select i, 'customer ' || i, 'Lima' from generate_series(20001, 22000) as i`,
];
