/**
 * Clusters of Postgres as initdb leaves them. Making one takes six seconds of a processor, so that one is made for all
 * tests and all runs, and copied.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PGlite } from '@electric-sql/pglite';

const MODULES = fileURLToPath(new URL('../../node_modules/', import.meta.url));
const CACHE = join(MODULES, '.cache', 'layerfile-tests');

/** Writes a new cluster with page checksums into a directory that is not there. */
export async function writeFreshCluster(dataDirectory: string): Promise<void> {
  const manifest = readFileSync(join(MODULES, '@electric-sql/pglite/package.json'), 'utf8');
  const { version }: { version: string } = JSON.parse(manifest);
  const cluster = join(CACHE, `cluster-${version}`);
  if (!existsSync(cluster)) await makeCluster(cluster);
  cpSync(cluster, dataDirectory, { recursive: true });
}

async function makeCluster(cluster: string): Promise<void> {
  mkdirSync(CACHE, { recursive: true });
  const directory = mkdtempSync(join(CACHE, 'cluster-'));
  try {
    const dataDir = join(directory, 'pgdata');
    const server = await PGlite.create({ dataDir, initDbStartParams: ['--data-checksums'] });
    await server.close();
    renameSync(dataDir, cluster);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!existsSync(cluster)) throw error;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
