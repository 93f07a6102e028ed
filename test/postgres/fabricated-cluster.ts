/** Data directories of a few pages, made by hand, to be damaged at will. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { PAGE_SIZE } from '../../src/postgres/page.ts';
import { type ControlFields, controlFileBytes } from '../support/control-file.ts';

/** Pages that all differ, so that a swap is noticed. */
export function pages(count: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(count * PAGE_SIZE);
  for (let offset = 0; offset < bytes.length; offset += 64) {
    new DataView(bytes.buffer).setUint32(offset, seed * 0x10001 + offset, true);
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

/** A cluster with the usual directories, a sound pg_control, and these files. */
export function fabricateCluster(files: Files, control: ControlFields = {}): string {
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
