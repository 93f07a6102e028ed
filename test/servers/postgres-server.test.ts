import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CONTROL_FILE_PATH, decodeControlFile } from '../../src/postgres/control-file.ts';
import {
  ARE_SERVERS_INSTALLED,
  ARE_SERVERS_LEFT_OUT,
  ARE_SERVERS_REQUIRED,
  PostgresServer,
  SERVER_VERSIONS,
  WITHOUT_SERVERS,
} from './postgres-server.ts';
import { runLoad } from './workload.ts';

test('the servers are there where they are required', () => {
  expect(ARE_SERVERS_INSTALLED || !ARE_SERVERS_REQUIRED).toBe(true);
});

const name = ARE_SERVERS_LEFT_OUT ? `a real server (${WITHOUT_SERVERS})` : 'a real server';

describe.skipIf(ARE_SERVERS_LEFT_OUT)(name, () => {
  test.each(SERVER_VERSIONS)(
    'a server of version %i makes WAL under load, and stops cleanly',
    async (version) => {
      const server = await PostgresServer.create(version, { initdb: ['--wal-segsize=1'] });
      const control = () =>
        decodeControlFile(readFileSync(join(server.dataDirectory, CONTROL_FILE_PATH)));
      try {
        const before = control().checkpointLsn;
        await server.start();
        expect(control().state).toBe('in production');
        await runLoad(server, { bytes: 1_000_000, accounts: 1000 });
        await server.stop();
        expect(control()).toMatchObject({ state: 'shut down', majorVersion: version });
        expect(control().checkpointLsn).toBeGreaterThan(before + 1_000_000n);
      } finally {
        await server.remove();
      }
    },
  );
});
