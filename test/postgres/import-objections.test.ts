import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { StorageError } from '../../src/errors.ts';
import { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import { type ImportOptions, importPgdata } from '../../src/postgres/import.ts';
import { relationBlockKey, relationMapKey } from '../../src/postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../src/postgres/page.ts';
import { relationMapBytes } from '../support/relation-map.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import {
  checksummed,
  fabricateBareCluster,
  fabricateCluster,
  pages,
  temporaryDirectory,
  writeFiles,
} from './fabricated-cluster.ts';

const IDS = {
  tenantId: '11223344556677881122334455667788',
  timelineId: '99aabbccddeeff0099aabbccddeeff00',
};
const FILES = { 'base/5/16384': pages(3, 1), 'base/5/16384_vm': pages(1, 2) };
const CHECKPOINT = 0x16c_3560n;

type Change = (directory: string) => void;

/** Refused without the option, and with it imported, with the error as a warning. */
async function isObjectedTo(
  directory: string,
  option: 'allowUnclean' | 'allowDamaged',
): Promise<StorageError> {
  const outDirectory = temporaryDirectory();
  const error = await storageErrorOf(run(directory, { outDirectory }));
  expect(readdirSync(outDirectory)).toEqual([]);
  const others = { allowUnclean: true, allowDamaged: true, allowBadPages: true, [option]: false };
  expect((await storageErrorOf(run(directory, { outDirectory, ...others }))).message).toBe(
    error.message,
  );
  expect(readdirSync(outDirectory)).toEqual([]);
  const layer = await run(directory, { outDirectory, [option]: true });
  expect(layer.warnings.map(({ message }) => message)).toContain(error.message);
  expect(readdirSync(outDirectory)).toEqual([layer.name]);
  return error;
}

describe('a directory of a cluster that was not shut down cleanly is refused, or imported with a warning', () => {
  it.each([
    ['postmaster.pid', 'stop the server, or remove the file if it is stale'],
    ['backup_label', 'start a server in the directory'],
    ['standby.signal', 'promote the standby'],
    ['recovery.signal', 'let the recovery end'],
  ])(
    'a directory with a %s is refused, or imported with a warning if it is allowed',
    async (name, remedy) => {
      const directory = fabricateCluster({ ...FILES, [name]: 'x\n' });
      const error = await isObjectedTo(directory, 'allowUnclean');
      expect([error.code, error.path]).toEqual(['invalid-input', join(directory, name)]);
      expect(error.message).toContain(`${name} exists: ${remedy}`);
    },
  );

  it('a directory with two signs of an unclean shutdown has a warning for each', async () => {
    const directory = fabricateCluster({ ...FILES, backup_label: '' }, { state: 'in production' });
    const { warnings } = await run(directory, { allowUnclean: true });
    expect(warnings).toHaveLength(2);
  });

  it('a backup_label.old is harmless', async () => {
    const layer = await run(fabricateCluster({ ...FILES, 'backup_label.old': '' }));
    expect(layer.warnings).toEqual([]);
  });
});

describe('a tablespace that only tablespace_map names', () => {
  const MAP = '16384 /somewhere/else\n16385 /other \\\nplace\n';

  it('a tablespace that only tablespace_map names is missing', async () => {
    const directory = fabricateCluster({ ...FILES, tablespace_map: MAP });
    const error = await isObjectedTo(directory, 'allowDamaged');
    expect(error.code).toBe('not-found');
    expect(error.message).toContain('tablespace 16384 of tablespace_map');
    const { warnings } = await run(directory, { allowDamaged: true });
    expect(warnings).toHaveLength(2);
  });

  it('a tablespace that only tablespace_map names is missing though an unclean directory is allowed', async () => {
    const directory = fabricateCluster({ ...FILES, tablespace_map: MAP, backup_label: '' });
    const error = await storageErrorOf(run(directory, { allowUnclean: true }));
    expect(error.message).toContain('tablespace 16384');
  });

  it('a tablespace that only tablespace_map names exists', async () => {
    const directory = fabricateCluster({
      ...FILES,
      tablespace_map: '16400 /mnt/a\n',
      'pg_tblspc/16400/PG_17_202406281/5/16500': pages(1, 1),
    });
    expect((await run(directory)).warnings).toEqual([]);
  });

  it('a tablespace that only tablespace_map names and whose link is dangling is refused', async () => {
    const directory = fabricateCluster(FILES);
    symlinkSync('/nonexistent/place', join(directory, 'pg_tblspc/16400'));
    expect((await isObjectedTo(directory, 'allowDamaged')).path).toContain('16400');
  });
});

describe('a database that a server would not open', () => {
  it.each<[string, string, string, Change]>([
    [
      'has a map of nothing',
      'base/5/pg_filenode.map',
      'truncated',
      (path) => writeFileSync(path, ''),
    ],
    [
      'has a map with one byte changed',
      'base/5/pg_filenode.map',
      'corrupt',
      (path) => writeFileSync(path, relationMapBytes().fill(0xff, 20, 21)),
    ],
    [
      'has a map of an older version',
      'base/5/pg_filenode.map',
      'truncated',
      (path) => writeFileSync(path, relationMapBytes({}, 15)),
    ],
    [
      'has a map larger than any',
      'base/5/pg_filenode.map',
      'too-large',
      (path) => writeFileSync(path, Buffer.alloc(64 * 1024 + 1)),
    ],
    ['has no map', 'base/5/pg_filenode.map', 'not-found', unlinkSync],
    ['has shared catalogs without a map', 'global/pg_filenode.map', 'not-found', unlinkSync],
    [
      'is of another version',
      'base/5/PG_VERSION',
      'invalid-input',
      (path) => writeFileSync(path, '16\n'),
    ],
    ['has no version', 'base/5/PG_VERSION', 'not-found', unlinkSync],
  ])(
    'a database that %s is refused, or imported with a warning if damage is allowed',
    async (_, name, code, change) => {
      const directory = fabricateCluster({ ...FILES, 'global/1260': pages(1, 4) });
      change(join(directory, name));
      const error = await isObjectedTo(directory, 'allowDamaged');
      expect([error.code, error.path]).toEqual([code, join(directory, name)]);
    },
  );

  it('a database that a server would not open keeps a damaged map, where that is allowed, and leaves an empty one out', async () => {
    const damaged = relationMapBytes().fill(0xff, 20, 21);
    const directory = fabricateCluster({ ...FILES, 'base/5/pg_filenode.map': damaged });
    const layer = await run(directory, { allowDamaged: true });
    expect(await storedAt(layer.path, relationMapKey({ spcnode: 1663, dbnode: 5 }))).toEqual(
      Buffer.from(damaged),
    );
    writeFileSync(join(directory, 'base/5/pg_filenode.map'), '');
    const without = await run(directory, { allowDamaged: true });
    expect([layer.mapCount, without.mapCount]).toEqual([2, 1]);
    expect(without.leftOut).toContainEqual({
      path: join(directory, 'base/5/pg_filenode.map'),
      reason: 'damaged relation map',
    });
  });

  it('a database that a server would not open has its map and version in another tablespace alone', async () => {
    const home = 'pg_tblspc/16400/PG_17_202406281/5';
    const directory = fabricateBareCluster({
      'global/pg_filenode.map': relationMapBytes(),
      'base/5/16384': pages(1, 1),
      [`${home}/pg_filenode.map`]: relationMapBytes(),
      [`${home}/PG_VERSION`]: '17\n',
    });
    expect((await run(directory)).warnings).toEqual([]);
  });

  it('a database that a server would not open is a directory without anything in it', async () => {
    const directory = fabricateCluster(FILES);
    mkdirSync(join(directory, 'base/16999'));
    expect((await run(directory)).warnings).toEqual([]);
  });
});

describe('the LSN of the layer', () => {
  const withLsn = (lsn: bigint): Uint8Array => {
    const bytes = pages(2, 1);
    new DataView(bytes.buffer).setUint32(PAGE_SIZE, Number(lsn >> 32n), true);
    new DataView(bytes.buffer).setUint32(PAGE_SIZE + 4, Number(lsn & 0xffff_ffffn), true);
    return bytes;
  };

  it.each([
    ['that of the checkpoint', CHECKPOINT, 'auto' as const],
    ['one in the same half', 0x1000n, 0xfffn],
    ['one in a lower half', 0x1_0000_0000n, 0xffff_ffffn],
    ['one with a lower high half and a higher low half', 0x2_0000_0001n, 0x1_0000_0002n],
  ])(
    'an import with an LSN below that of a page is refused unless that is allowed: %s',
    async (_, pageLsn, lsn) => {
      const newer = lsn === 'auto' ? pageLsn + 1n : pageLsn;
      const directory = fabricateCluster({ 'base/5/16384': withLsn(newer) });
      const outDirectory = temporaryDirectory();
      const error = await storageErrorOf(run(directory, { outDirectory, lsn }));
      expect([error.code, error.path, error.offset]).toEqual([
        'out-of-range',
        join(directory, 'base/5/16384'),
        PAGE_SIZE,
      ]);
      expect(readdirSync(outDirectory)).toEqual([]);
      const { warnings } = await run(directory, { lsn, allowUnclean: true });
      expect(warnings.map(({ message }) => message)).toEqual([
        expect.stringContaining('1 page is newer than the layer'),
      ]);
    },
  );

  it('the LSN of the layer is that of the newest page', async () => {
    const directory = fabricateCluster({ 'base/5/16384': withLsn(0x1_0000_1000n) });
    const layer = await run(directory, { lsn: 0x1_0000_1000n });
    expect(layer.warnings).toEqual([]);
  });

  it('the LSN of the layer is 0/0, at which nothing is read', async () => {
    const options = { lsn: 0n, allowUnclean: true, allowDamaged: true };
    const error = await storageErrorOf(run(fabricateCluster(FILES), options));
    expect([error.code, error.expected]).toEqual(['invalid-input', 'above 0/0']);
    expect((await run(fabricateCluster(FILES), { lsn: 1n })).lsn).toBe(1n);
  });
});

describe('pages of a cluster with checksums', () => {
  const CHECKSUMS = { checksumVersion: 1, segmentPageCount: 2 };
  const valid = {
    'base/5/16384': checksummed(pages(2, 1)),
    'base/5/16384.1': checksummed(pages(2, 2), 2),
    'base/5/16384_fsm': new Uint8Array(PAGE_SIZE),
  };

  it('pages of a cluster with checksums are right in their places, and new pages have none', async () => {
    const layer = await run(fabricateCluster(valid, CHECKSUMS));
    expect([layer.badPageCount, layer.warnings]).toEqual([0, []]);
  });

  it.each([
    ['a flipped bit', (page: Buffer) => page.fill((page[5000] ?? 0) ^ 1, 5000, 5001)],
    ['no checksum', (page: Buffer) => page.fill(0, 8, 10)],
    ['no header, but a byte at the end', (page: Buffer) => page.fill(0).fill(1, 8191)],
    ['the bytes of another block', (page: Buffer) => page.set(checksummed(pages(1, 2), 2))],
  ])(
    'pages of a cluster with %s are named, and nothing is written unless that is allowed',
    async (_, damage) => {
      const directory = fabricateCluster(valid, CHECKSUMS);
      const path = join(directory, 'base/5/16384.1');
      const bytes = readFileSync(path);
      damage(bytes.subarray(PAGE_SIZE));
      writeFileSync(path, bytes);

      const outDirectory = temporaryDirectory();
      const findings: StorageError[] = [];
      const onBadPage = (finding: StorageError) => findings.push(finding);
      const refused = { outDirectory, onBadPage, allowUnclean: true, allowDamaged: true };
      const error = await storageErrorOf(run(directory, refused));
      expect([error.code, error.path, error.offset]).toEqual(['corrupt', path, PAGE_SIZE]);
      expect(findings).toMatchObject([{ code: 'corrupt', path, offset: PAGE_SIZE }]);
      expect(findings[0]?.message).toContain('checksum of block 3');
      expect(readdirSync(outDirectory)).toEqual([]);

      const layer = await run(directory, { outDirectory, allowBadPages: true });
      expect([layer.badPageCount, layer.pageCount]).toEqual([1, 5]);
      const key = relationBlockKey({
        spcnode: 1663,
        dbnode: 5,
        relnode: 16384,
        fork: 'main',
        blkno: 3,
      });
      expect(await storedAt(layer.path, key)).toEqual(bytes.subarray(PAGE_SIZE));
    },
  );

  it('all pages of a cluster with checksums are checked, even if the first is bad', async () => {
    const directory = fabricateCluster(
      { 'base/5/16384': pages(2, 1), 'base/6/7': pages(2, 1) },
      CHECKSUMS,
    );
    const findings: StorageError[] = [];
    const onBadPage = (finding: StorageError) => findings.push(finding);
    const error = await storageErrorOf(run(directory, { onBadPage }));
    expect(error.message).toContain('4 pages have wrong checksums, the first of them here');
    expect(findings).toHaveLength(4);
  });

  it('pages are not checked if the cluster has no checksums', async () => {
    const layer = await run(fabricateCluster(FILES));
    expect(layer.badPageCount).toBeUndefined();
  });
});

describe('files of a data directory that are left out are listed with their reasons', () => {
  it('files that are left out are listed with their reasons, from all over the data directory', async () => {
    const directory = fabricateCluster({
      ...FILES,
      'base/5/16384.5': pages(1, 1),
      'base/5/99999.1': pages(1, 1),
      'base/5/7': pages(1, 1).subarray(1),
      'base/5/016384': 'x',
      'pg_xact/0000': 'x',
      'pg_multixact/offsets/0000': 'x',
      'pg_multixact/members/0000': 'x',
      'pg_twophase/000002E4': 'x',
      'pg_wal/000000010000000000000001': 'x',
      'pg_logical/snapshots/0-1.snap': 'x',
      'pg_stat/pgstat.stat': 'x',
      'pg_notify/0000': 'x',
      'postmaster.opts': 'x',
      'postgresql.conf': 'x',
      'notes/a': 'x',
    });
    const layer = await run(directory, { allowDamaged: true });
    const listed = layer.leftOut.map(
      ({ path, reason }) => `${reason}: ${relative(directory, path)}`,
    );
    expect(listed.sort()).toEqual([
      'WAL: pg_wal/000000010000000000000001',
      'configuration: postgresql.conf',
      'control file: global/pg_control',
      'other: notes',
      'partial page: base/5/7',
      'replication: pg_logical/snapshots/0-1.snap',
      'server state: pg_notify/0000',
      'server state: postmaster.opts',
      'statistics: pg_stat/pgstat.stat',
      'stray segment: base/5/16384.5',
      'stray segment: base/5/99999.1',
      'transaction status: pg_multixact/members/0000',
      'transaction status: pg_multixact/offsets/0000',
      'transaction status: pg_xact/0000',
      'two-phase files: pg_twophase/000002E4',
      'unknown name: base/5/016384',
      'version: PG_VERSION',
      'version: base/5/PG_VERSION',
    ]);
  });
});

describe('a directory that changes after a file of it was read', () => {
  it.each<[string, string, Change]>([
    [
      'a file is written to',
      'it was written to',
      (path) => writeFiles(path, { 'base/5/16384': pages(3, 9) }),
    ],
    ['a file grows', 'size', (path) => writeFiles(path, { 'base/5/16384': pages(4, 1) })],
    ['a file is removed', 'it is gone', (path) => rmSync(join(path, 'base/5/16384'))],
    ['a file is added', 'it is new', (path) => writeFiles(path, { 'base/5/99': pages(1, 1) })],
  ])('the import is refused if %s after a file was read', async (_, how, change) => {
    const directory = fabricateCluster(FILES);
    const outDirectory = temporaryDirectory();
    const options = { outDirectory, onProgress: atEnd(() => change(directory)) };
    const error = await storageErrorOf(run(directory, options));
    expect(error.code).toBe('invalid-input');
    expect(error.message).toContain(how);
    expect(readdirSync(outDirectory)).toEqual([]);

    const again = fabricateCluster(FILES);
    const allowed = { allowUnclean: true, onProgress: atEnd(() => change(again)) };
    expect((await run(again, allowed)).warnings).toHaveLength(1);
  });

  it('the import is refused if a server starts after a file was read', async () => {
    const directory = fabricateCluster(FILES);
    const change = (): void => writeFiles(directory, { 'postmaster.pid': '4711\n' });
    const error = await storageErrorOf(run(directory, { onProgress: atEnd(change) }));
    expect(error.path).toBe(join(directory, 'postmaster.pid'));
  });
});

describe('a path that is not a data directory', () => {
  it.each<[string, Change, string, string]>([
    ['holds something else', () => {}, 'not-found', 'not a Postgres data directory'],
    ['is missing', (path) => rmSync(path, { recursive: true }), 'not-found', 'no such directory'],
    [
      'is a file',
      (path) => {
        rmSync(path, { recursive: true });
        writeFileSync(path, '');
      },
      'io',
      'not a Postgres data directory',
    ],
  ])('a path that %s is refused as a data directory', async (_, change, code, message) => {
    const directory = temporaryDirectory();
    change(directory);
    const error = await storageErrorOf(run(directory));
    expect([error.code, error.path]).toEqual([code, directory]);
    expect(error.message).toContain(message);
  });
});

/** Once, when all has been read. */
function atEnd(change: () => void): (done: number, total: number) => void {
  let isDone = false;
  return (done, total) => {
    if (done < total || isDone) return;
    isDone = true;
    change();
  };
}

function run(
  dataDirectory: string,
  options: Partial<ImportOptions> = {},
): ReturnType<typeof importPgdata> {
  const outDirectory = options.outDirectory ?? temporaryDirectory();
  return importPgdata({ ...IDS, lsn: 'auto', ...options, dataDirectory, outDirectory });
}

async function storedAt(path: string, key: Uint8Array): Promise<Buffer | undefined> {
  const reader = await ImageLayerReader.open(path);
  const entry = await reader.get(key);
  await reader.close();
  return entry === undefined ? undefined : Buffer.from(entry.bytes);
}
