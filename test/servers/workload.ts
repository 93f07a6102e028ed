/**
 * SQL at random for a real server: rows, indexes of all kinds, transactions of all kinds, locks, whole tables and
 * databases, and the settings that change what WAL looks like. The same seed gives the same statements; what
 * the server makes of them differs a little from run to run.
 *
 * The server needs `SETTINGS_FOR_WORKLOAD`.
 */
import { chownSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Choose, seededChoices } from '../../src/testing/choices.ts';
import type { Connection, PostgresServer } from './postgres-server.ts';

export const SETTINGS_FOR_WORKLOAD = {
  wal_level: 'logical',
  wal_log_hints: 'on',
  track_commit_timestamp: 'on',
  max_prepared_transactions: '10',
  max_replication_slots: '4',
  autovacuum: 'off',
  wal_keep_size: '4GB',
  // A statement that waits for another session fails instead.
  lock_timeout: '5s',
};

/** Runs something, and gives statements that are to be run after it. */
type Action = (run: Run) => readonly string[] | Promise<readonly string[]>;

interface Run {
  readonly server: PostgresServer;
  readonly choose: Choose;
  /** The session of the workload. */
  readonly session: Connection;
  /** A second one, for what two transactions do to one row; idle between actions. */
  readonly other: Connection;
  /** Counts up: for names. */
  readonly number: number;
}

/**
 * Runs the workload in one session, beside which a second one holds locks now and then.
 *
 * @param steps How many actions, each of one to ten statements; 400 make about 20 MiB of WAL.
 * @throws With seed, step and statement, if the server refuses one.
 */
export async function runWorkload(
  server: PostgresServer,
  { seed, steps }: { readonly seed: number; readonly steps: number },
): Promise<void> {
  const choose = seededChoices(seed);
  const [session, other] = [await server.connect(), await server.connect()];
  const actions = actionsOf(server.version);
  let statement = '';
  let number = 0;
  try {
    for (statement of SET_UP) await session.query(statement);
    for (number = 1; number <= steps; number += 1) {
      // Each action once, then any of them.
      const action = actions[number <= actions.length ? number - 1 : choose(actions.length)];
      for (statement of (await action?.({ server, choose, session, other, number })) ?? []) {
        await session.query(statement);
      }
    }
  } catch (cause) {
    throw new Error(`workload of seed ${seed}, step ${number}: ${statement}`, { cause });
  }
  await session.end();
  await other.end();
}

const SET_UP = [
  'create extension bloom',
  `create table item (
    id int primary key, number int, word text, numbers int[], place point, span int4range,
    note text, long text) with (fillfactor = 80)`,
  'create index on item (number)',
  'create index on item using hash (word)',
  'create index on item using gin (numbers) with (gin_pending_list_limit = 64)',
  'create index on item using gist (place)',
  'create index on item using spgist (word)',
  'create index on item using spgist (place)',
  'create index on item using brin (number) with (pages_per_range = 2)',
  'create index on item using bloom (number, word)',
  'create index on item (number, word) where number < 1000',
  'create table detail (id int primary key, item int references item on delete cascade, amount int)',
  'create sequence counter',
  'create unlogged table draft (id int primary key, body text)',
];

function actionsOf(version: number): readonly Action[] {
  return [
    insertMany,
    insertMany,
    updateNotes,
    updateIndexed,
    deleteSome,
    copyThrough,
    insertOrIgnore,
    longValues,
    () => ['vacuum item'],
    () => ['vacuum (freeze) item', 'vacuum detail'],
    () => ['analyze item'],
    () => ['checkpoint'],
    lockRows,
    shareRows,
    lockAndUpdate,
    savepoints,
    manySubtransactions,
    prepared,
    rolledBack,
    tables,
    truncated,
    ({ choose }) => [`reindex index ${choose(2) === 0 ? 'item_number_idx' : 'item_place_idx'}`],
    () => ['vacuum full detail', 'cluster item using item_pkey'],
    () => ["select nextval('counter') from generate_series(1, 50)", "select setval('counter', 7)"],
    messages,
    ({ number }) => [`select pg_create_restore_point('point ${number}')`],
    compression,
    consistency,
    fullPageWrites,
    () => ['select pg_switch_wal()'],
    () => ["insert into draft select i, 'x' from generate_series(1, 200) i", 'truncate draft'],
    ({ number }) => databases(version, number),
    tablespaces,
    origins,
    views,
    () => ["select gin_clean_pending_list('item_numbers_idx')"],
    ({ choose }) => [
      `select brin_desummarize_range('item_number_idx1', ${2 * choose(10)})`,
      "select brin_summarize_new_values('item_number_idx1')",
    ],
  ];
}

const insertMany: Action = ({ choose }) => {
  const count = 1 + choose(400);
  return [
    `insert into item select m + i, (random() * 100000)::int, md5((i % ${1 + choose(50)})::text),
      array[i % 7, i % 31, ${choose(1000)}], point(random() * 100, random() * 100),
      int4range(i, i + 5), 'new', null
      from generate_series(1, ${count}) i, (select coalesce(max(id), 0) m from item) x`,
    `insert into detail select m + i, (select id from item order by random() limit 1), i
      from generate_series(1, ${1 + choose(20)}) i, (select coalesce(max(id), 0) m from detail) x`,
  ];
};

const updateNotes: Action = ({ choose }) => [
  `update item set note = 'changed ${choose(1000)}' where id % 7 = ${choose(7)}`,
];

const updateIndexed: Action = ({ choose }) => [
  `update item set number = number + 1, word = word || 'x', numbers = numbers || ${choose(99)},
    place = place + point(1, ${choose(9)}) where id % 23 = ${choose(23)}`,
];

const deleteSome: Action = ({ choose }) => [`delete from item where id % 29 = ${choose(29)}`];

const copyThrough: Action = ({ choose, server, number }) => {
  const path = join(server.root, `copied-${number}`);
  return [
    `copy (select m + i, i, 'copied' from generate_series(1, ${10 + choose(500)}) i,
      (select coalesce(max(id), 0) m from item) x) to '${path}'`,
    `copy item (id, number, word) from '${path}'`,
  ];
};

const insertOrIgnore: Action = () => [
  `insert into item (id, number) select i, i from generate_series(1, 300) i
    on conflict (id) do nothing`,
  `insert into item (id, number) select i, i from generate_series(1, 20) i
    on conflict (id) do update set note = 'conflict'`,
];

const longValues: Action = ({ choose }) => [
  `update item set long = (select string_agg(md5(random()::text), '') from generate_series(1, ${100 + choose(400)}))
    where id % 101 = ${choose(101)}`,
];

const lockRows: Action = ({ choose }) => {
  const strength = ['update', 'no key update', 'share', 'key share'][choose(4)];
  return [`select 1 from item where id % 11 = ${choose(11)} limit 50 for ${strength}`];
};

/** Two transactions hold the same rows: multixacts. */
const shareRows: Action = async ({ choose, session, other }) => {
  const rows = `id % 13 = ${choose(13)}`;
  await other.query(`begin; select 1 from item where ${rows} limit 40 for key share`);
  await session.query(`select 1 from item where ${rows} limit 40 for no key update`);
  await session.query(`update item set note = 'shared' where ${rows}`);
  await other.query(choose(2) === 0 ? 'commit' : 'rollback');
  return [];
};

/** Rows that were updated are locked: a lock of the version that follows. */
const lockAndUpdate: Action = async ({ session, other }) => {
  await session.query(`begin; update item set note = 'first' where id % 50 = 1`);
  await other.query(`begin; select 1 from item where id % 50 = 1 for key share; savepoint s;
    update item set note = 'second' where id % 50 = 2; rollback to s`);
  await session.query('commit');
  await other.query('commit');
  return [];
};

const savepoints: Action = ({ choose }) => [
  `begin; insert into detail select m + 1, null, 0 from (select coalesce(max(id), 0) m from detail) x;
    savepoint a; update detail set amount = ${choose(99)} where id % 5 = 0; rollback to a;
    savepoint b; delete from detail where id % 17 = ${choose(17)}; release b;
    ${choose(3) === 0 ? 'rollback' : 'commit'}`,
];

const manySubtransactions: Action = ({ choose }) => [
  `do $$ begin
    for i in 1..${70 + choose(80)} loop
      begin
        update item set note = 'nested' where id = i;
        if i % 9 = 0 then raise exception 'undone'; end if;
      exception when raise_exception then null;
      end;
    end loop;
  end $$`,
];

const prepared: Action = ({ choose, number }) => [
  `begin; insert into detail select m + 1, null, 1 from (select coalesce(max(id), 0) m from detail) x;
    savepoint s; update item set note = 'prepared' where id % 41 = ${choose(41)};
    create table prepared_${number} (id int);
    prepare transaction 'transaction ${number}'`,
  ...(choose(2) === 0 ? ['checkpoint'] : []),
  `${choose(2) === 0 ? 'commit' : 'rollback'} prepared 'transaction ${number}'`,
  `drop table if exists prepared_${number}`,
];

const rolledBack: Action = ({ choose, number }) => [
  `begin; create table undone_${number} as select * from item limit 100;
    delete from item where id % 31 = ${choose(31)}; rollback`,
];

const tables: Action = ({ choose, number }) => [
  `create table other_${number} as select id, md5(id::text) word from generate_series(1, ${choose(500)}) id`,
  `create index on other_${number} (word)`,
  `alter table other_${number} add column added int default ${choose(9)}`,
  `alter table other_${number} alter column added type bigint`,
  `drop table other_${number}`,
];

const truncated: Action = ({ choose }) =>
  choose(3) === 0
    ? ['truncate item cascade']
    : ['truncate detail restart identity', 'delete from item where id > 500', 'vacuum item'];

const messages: Action = ({ choose, number }) => [
  `select pg_logical_emit_message(${choose(2) === 0}, 'prefix ${number}', repeat('text', ${choose(50)}))`,
  `select pg_logical_emit_message(false, 'neon-file:pg_logical/snapshots/${number}', 'content')`,
];

const compression: Action = ({ choose }) => [
  `set wal_compression = ${choose(3) === 0 ? 'off' : 'on'}`,
  'checkpoint',
];

const consistency: Action = ({ choose }) => [
  `set wal_consistency_checking = '${choose(2) === 0 ? 'all' : ''}'`,
  `update item set note = 'consistent' where id % 97 = ${choose(97)}`,
  `set wal_consistency_checking = ''`,
];

const fullPageWrites: Action = ({ choose }) => [
  `alter system set full_page_writes = ${choose(2) === 0 ? 'on' : 'off'}`,
  'select pg_reload_conf()',
  // The checkpointer logs the change before it does what it is asked for.
  'checkpoint',
];

function databases(version: number, number: number): readonly string[] {
  const name = `database_${number}`;
  const strategies = version === 14 ? [''] : [' strategy wal_log', ' strategy file_copy'];
  return strategies.flatMap((strategy) => [
    `create database ${name}${strategy}`,
    `drop database ${name}`,
  ]);
}

const tablespaces: Action = ({ server, number, choose }) => {
  const path = join(server.root, `space-${number}`);
  mkdirSync(path);
  const { uid, gid } = statSync(server.dataDirectory);
  chownSync(path, uid, gid);
  return [
    `create tablespace space_${number} location '${path}'`,
    `create table moved_${number} (id int) tablespace space_${number}`,
    `insert into moved_${number} select generate_series(1, ${choose(300)})`,
    `alter table moved_${number} set tablespace pg_default`,
    `drop table moved_${number}`,
    `drop tablespace space_${number}`,
  ];
};

const origins: Action = ({ number }) => [
  `select pg_replication_origin_create('origin ${number}')`,
  `select pg_replication_origin_session_setup('origin ${number}')`,
  `begin; select pg_replication_origin_xact_setup('0/1000', '2024-02-29 12:00:00+00');
    insert into detail select m + 1, null, 2 from (select coalesce(max(id), 0) m from detail) x; commit`,
  'select pg_replication_origin_session_reset()',
  `select pg_replication_origin_advance('origin ${number}', '0/2000')`,
  `select pg_replication_origin_drop('origin ${number}')`,
];

const views: Action = ({ number }) => [
  `create materialized view seen_${number} as select word, count(*) from item group by word`,
  `refresh materialized view seen_${number}`,
  `drop materialized view seen_${number}`,
];

/**
 * Makes WAL as pgbench does, inside the server: updates of accounts, tellers and branches, and rows of history, one
 * transaction each.
 *
 * @param bytes How much WAL at least.
 * @param accounts A multiple of 1,000; pgbench has 100,000 at scale 1.
 */
export async function runLoad(
  server: PostgresServer,
  { bytes, accounts = 100_000 }: { readonly bytes: number; readonly accounts?: number },
): Promise<void> {
  const session = await server.connect();
  for (const statement of loadTables(accounts)) await session.query(statement);
  const start = await walPosition(session);
  while ((await walPosition(session)) - start < BigInt(bytes)) {
    await session.query(`call transactions(${accounts}, 2000)`);
  }
  await session.end();
}

function loadTables(accounts: number): readonly string[] {
  const filler = "filler char(84) default ''";
  return [
    `create table branches (bid int primary key, balance int, ${filler}) with (fillfactor = 100)`,
    `create table tellers (tid int primary key, balance int, ${filler})`,
    `create table accounts (aid int primary key, balance int, ${filler})`,
    'create table history (tid int, bid int, aid int, delta int, at timestamp, filler char(22))',
    `insert into branches select i, 0 from generate_series(1, ${accounts / 1000}) i`,
    `insert into tellers select i, 0 from generate_series(1, ${accounts / 100}) i`,
    `insert into accounts select i, 0 from generate_series(1, ${accounts}) i`,
    `create procedure transactions(accounts int, count int) language plpgsql as $$
      declare aid_ int; delta int;
      begin
        for i in 1..count loop
          aid_ := 1 + floor(random() * accounts);
          delta := floor(random() * 10000) - 5000;
          update accounts set balance = balance + delta where aid = aid_;
          update tellers set balance = balance + delta where tid = 1 + aid_ % (accounts / 100);
          update branches set balance = balance + delta where bid = 1 + aid_ % (accounts / 1000);
          insert into history values (1, 1, aid_, delta, now());
          commit;
        end loop;
      end $$`,
    'set synchronous_commit = off',
    'vacuum',
  ];
}

/** Where the next record will be. */
export async function walPosition(session: Connection): Promise<bigint> {
  const [row] = await session.query("select pg_current_wal_insert_lsn() - '0/0' as position");
  return BigInt(row?.['position'] ?? 0);
}
