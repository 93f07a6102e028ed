/** Data directories of a few pages, made by hand, to be damaged at will. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { PAGE_HEADER_SIZE, PAGE_SIZE, pageChecksum } from '../../src/postgres/page.ts';
import { type ControlFields, controlFileBytes } from '../support/control-file.ts';
import { relationMapBytes } from '../support/relation-map.ts';

/** Pages that all differ, so that a swap is noticed; their LSNs are 0. */
export function pages(count: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(count * PAGE_SIZE);
  for (let offset = 0; offset < bytes.length; offset += 64) {
    const inPage = offset % PAGE_SIZE;
    const at = inPage === 0 ? offset + PAGE_HEADER_SIZE : offset;
    new DataView(bytes.buffer).setUint32(at, seed * 0x10001 + offset, true);
  }
  return bytes;
}

/** The same pages as a cluster with checksums has them, from the given block of their fork on. */
export function checksummed(content: Uint8Array, firstBlock = 0): Uint8Array {
  const bytes = Uint8Array.from(content);
  const view = new DataView(bytes.buffer);
  for (let offset = 0; offset < bytes.length; offset += PAGE_SIZE) {
    view.setUint16(offset + 14, PAGE_SIZE, true);
    const page = bytes.subarray(offset, offset + PAGE_SIZE);
    const checksum = pageChecksum(page, firstBlock + offset / PAGE_SIZE);
    view.setUint16(offset + 8, checksum, true);
  }
  return bytes;
}

export type Files = Readonly<Record<string, Uint8Array | string>>;

/** An empty directory that is gone when the test ends. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'layerfile-postgres-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/**
 * A Postgres 17 cluster with the usual directories, a valid pg_control, and these files; each
 * database with a file in `base` has a map and a version, as do the shared catalogs.
 */
export function fabricateCluster(files: Files, control: ControlFields = {}): string {
  const databases = new Set(Object.keys(files).flatMap((path) => BASE.exec(path)?.[0] ?? []));
  const expected: Record<string, Uint8Array | string> = {};
  for (const database of databases) {
    expected[`${database}/pg_filenode.map`] = relationMapBytes();
    expected[`${database}/PG_VERSION`] = '17\n';
  }
  if (databases.size > 0) expected['global/pg_filenode.map'] = relationMapBytes();
  return fabricateBareCluster({ ...expected, ...files }, control);
}

const BASE = /^base\/[1-9][0-9]*(?=\/)/;

/** As `fabricateCluster`, but without maps and versions of databases that are not given. */
export function fabricateBareCluster(files: Files, control: ControlFields = {}): string {
  const directory = temporaryDirectory();
  for (const name of ['base', 'global', 'pg_tblspc']) mkdirSync(join(directory, name));
  writeFiles(directory, {
    PG_VERSION: '17\n',
    'global/pg_control': controlFileBytes(control),
    ...files,
  });
  return directory;
}

export function writeFiles(directory: string, files: Files): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
}
