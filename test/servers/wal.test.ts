/**
 * The WAL of a random workload, read and described, against what pg_walinspect of the same server says of it. The seed
 * is in the name of the tests; LAYERFILE_SEED repeats it, LAYERFILE_WORKLOAD_STEPS changes how much there is.
 */
import { describe, expect, test } from 'vitest';
import { runCli } from '../cli/support.ts';
import {
  BLOCKS_QUERY,
  blockOfTruth,
  expectSame,
  RECORDS_QUERY,
  readRecords,
  recordOfTruth,
  referencesOfTruth,
} from '../support/walinspect.ts';
import {
  ARE_SERVERS_LEFT_OUT,
  type Connection,
  PostgresServer,
  SERVER_VERSIONS,
  type ServerVersion,
  WITHOUT_SERVERS,
} from './postgres-server.ts';
import { runWorkload, SETTINGS_FOR_WORKLOAD } from './workload.ts';

const SEED = Number(process.env['LAYERFILE_SEED'] ?? Date.now() % 1_000_000);
const STEPS = Number(process.env['LAYERFILE_WORKLOAD_STEPS'] ?? 120);
const TIME_LIMIT_MS = 300_000;

const name = ARE_SERVERS_LEFT_OUT ? `WAL (${WITHOUT_SERVERS})` : `WAL of the workload ${SEED}`;

describe.skipIf(ARE_SERVERS_LEFT_OUT)(name, () => {
  test.each([15, 16, 17] as const)(
    'WAL of Postgres %i is described as pg_walinspect does, record by record',
    (version) =>
      withWorkload(version, async ({ server, session, start, end }) => {
        const truth = await session.query(RECORDS_QUERY(start, end));
        const blockTruth =
          version === 15 ? undefined : await session.query(BLOCKS_QUERY(start, end));
        const read = await readRecords(server.walDirectory, { start, end });
        expect(read.records.length).toBeGreaterThan(20 * STEPS);
        expectSame(read.records, truth.map(recordOfTruth));
        // 15 has no rows of blocks, but their text.
        if (blockTruth === undefined) expectSame(read.references, truth.map(referencesOfTruth));
        else expectSame(read.blocks, blockTruth.map(blockOfTruth));
      }),
    TIME_LIMIT_MS,
  );

  test.each(SERVER_VERSIONS)(
    'WAL of Postgres %i is printed to its end, the shutdown',
    (version) =>
      withWorkload(version, async ({ server, start }) => {
        await server.stop();
        const words = ['wal', server.dataDirectory, '--start', start];
        const { status, stdout, stderr } = await runCli(words);
        expect(stdout.split('\n').at(-2)).toMatch(/desc: CHECKPOINT_SHUTDOWN /);
        expect(stderr).toMatch(/^the WAL ends at /);
        expect(status).toBe(0);
      }),
    TIME_LIMIT_MS,
  );
});

interface Worked {
  readonly server: PostgresServer;
  readonly session: Connection;
  /** LSNs as text, around what the workload wrote. */
  readonly start: string;
  readonly end: string;
}

/** Runs the workload on a new server, and then the check. */
async function withWorkload(
  version: ServerVersion,
  check: (worked: Worked) => Promise<void>,
): Promise<void> {
  const server = await PostgresServer.create(version, {
    settings: SETTINGS_FOR_WORKLOAD,
    initdb: ['--wal-segsize=1', '--data-checksums'],
  });
  try {
    await server.start();
    const session = await server.connect();
    if (version > 14) await session.query('create extension pg_walinspect');
    const start = await lsnOf(session, 'pg_current_wal_insert_lsn()');
    await runWorkload(server, { seed: SEED + version, steps: STEPS });
    const end = await lsnOf(session, 'pg_current_wal_flush_lsn()');
    await check({ server, session, start, end });
  } finally {
    await server.remove();
  }
}

async function lsnOf(session: Connection, expression: string): Promise<string> {
  const [row] = await session.query(`select ${expression} as lsn`);
  return row?.['lsn'] ?? '';
}
