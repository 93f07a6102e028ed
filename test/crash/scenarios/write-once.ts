/** Small files that are replaced as a whole, several times over, and what crashes leave of them. */
import type { Choose } from '../../../src/testing/choices.ts';
import type { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { VirtualFile } from '../../../src/virtual-file/virtual-file.ts';
import { encodeDocument, readDocument, writeDocument } from '../../../src/write-once/document.ts';
import { removeLeftovers } from '../../../src/write-once/leftovers.ts';
import { type OverwriteOptions, overwriteFile } from '../../../src/write-once/overwrite.ts';
import {
  formatTenantConfig,
  readTenantConfig,
  type TenantConfig,
  writeTenantConfig,
} from '../../../src/write-once/tenant-config.ts';
import {
  encodeTimelineMetadata,
  readTimelineMetadata,
  type TimelineMetadataFields,
  writeTimelineMetadata,
} from '../../../src/write-once/timeline-metadata.ts';
import { tomlTable } from '../../../src/write-once/toml-value.ts';
import {
  between,
  drawSeed,
  type MakeScenario,
  pick,
  randomBytes,
  type Scenario,
  shortWrites,
  succeeds,
} from '../scenario.ts';
import { createBystanders, createLeftovers, DATA } from './bystanders.ts';

const PATH = `${DATA}/file`;
const MODE = 0o640;

/** Lengths around the 4 KiB that a crash keeps or loses as one, and several of them. */
const LENGTHS = [0, 1, 511, 4095, 4096, 4097, 9000, 20_000, 24_576];

export const overwriteNew: MakeScenario = async (random) => overwriting('overwrite-new', random);

export const overwriteExisting: MakeScenario = async (random) => {
  const old = randomBytes(random, pick(random, LENGTHS));
  return overwriting('overwrite-existing', random, (fileSystem) => {
    fileSystem.createFile(PATH, old, { mode: MODE });
    return old;
  });
};

/** A crash has left a temporary, or somebody has put a link in its place. */
export const overwriteStale: MakeScenario = async (random) => {
  const old = randomBytes(random, pick(random, LENGTHS));
  const stale = randomBytes(random, pick(random, LENGTHS));
  const isLink = random(3) === 0;
  return overwriting('overwrite-stale', random, (fileSystem) => {
    fileSystem.createFile(PATH, old, { mode: MODE });
    if (isLink) fileSystem.createSymbolicLink(`${PATH}.___temp`, 'keep');
    else fileSystem.createFile(`${PATH}.___temp`, stale);
    return old;
  });
};

function overwriting(
  kind: string,
  random: Choose,
  createOld: (fileSystem: MemoryFileSystem) => Uint8Array | undefined = () => undefined,
): Scenario {
  const contents = Array.from({ length: between(random, 1, 3) }, () =>
    randomBytes(random, pick(random, LENGTHS)),
  );
  const seed = drawSeed(random);
  return {
    kind,
    directories: [DATA],
    prepare: (fileSystem, ledger) => {
      createBystanders(fileSystem, ledger);
      ledger.settle(PATH, createOld(fileSystem));
    },
    run: async ({ openFiles, ledger, signal }) => {
      for (const content of contents) {
        await ledger.attempt(PATH, content, () =>
          overwriteFile(PATH, content, { openFiles, signal, mode: MODE }),
        );
      }
    },
    read: async (path, openFiles) => {
      await using file = await VirtualFile.open(path, { read: true, openFiles });
      const { mode } = await file.stat();
      if (path === PATH && mode !== MODE) throw new Error(`${path}: mode ${mode.toString(8)}`);
    },
    readsEveryState: true,
    intercept: seed % 3 === 0 ? undefined : () => shortWrites(seed),
  };
}

/** One kind of small file with a format: its versions are written one after the other. */
function formatted<T>(options: {
  readonly kind: string;
  readonly versions: readonly T[];
  readonly encode: (version: T) => Uint8Array;
  readonly write: (path: string, version: T, options: OverwriteOptions) => Promise<void>;
  readonly read: (path: string, options: OverwriteOptions) => Promise<unknown>;
}): Scenario {
  const encoded = options.versions.map((version) => ({ version, bytes: options.encode(version) }));
  const [old, ...later] = encoded;
  return {
    kind: options.kind,
    directories: [DATA],
    prepare: (fileSystem, ledger) => {
      createBystanders(fileSystem, ledger);
      if (old === undefined) return;
      fileSystem.createFile(PATH, old.bytes);
      ledger.settle(PATH, old.bytes);
    },
    run: async ({ openFiles, ledger, signal }) => {
      for (const { version, bytes } of later) {
        await ledger.attempt(PATH, bytes, () =>
          options.write(PATH, version, { openFiles, signal }),
        );
      }
    },
    read: async (path, openFiles) => {
      if (path === PATH) await options.read(path, { openFiles });
    },
  };
}

export const timelineMetadata: MakeScenario = async (random) =>
  formatted({
    kind: 'timeline-metadata',
    versions: Array.from({ length: between(random, 2, 4) }, () => metadataFields(random)),
    encode: encodeTimelineMetadata,
    write: writeTimelineMetadata,
    read: readTimelineMetadata,
  });

function metadataFields(random: Choose): TimelineMetadataFields {
  return {
    diskConsistentLsn: BigInt(random(0xffff_ffff)) * 8n,
    prevRecordLsn: random(2) === 0 ? null : BigInt(random(0xffff_ffff)),
    ancestorTimeline: null,
    ancestorLsn: 0n,
    latestGcCutoffLsn: BigInt(random(0xffff_ffff)),
    initdbLsn: 0x169_6000n,
    pgVersion: between(random, 14, 17),
  };
}

export const tenantConfig: MakeScenario = async (random) =>
  formatted<TenantConfig>({
    kind: 'tenant-config',
    versions: Array.from({ length: 3 }, () => configuration(random)),
    encode: (config) => new TextEncoder().encode(formatTenantConfig(config)),
    write: writeTenantConfig,
    read: readTenantConfig,
  });

function configuration(random: Choose): TenantConfig {
  const settings = tomlTable([
    ['checkpoint_distance', BigInt(random(0xffff_ffff))],
    ['note', 'x'.repeat(random(9000))],
  ]);
  if (random(2) === 0) return { form: 'tenant-config', settings, other: tomlTable() };
  const attached = { kind: 'attached', generation: random(99), attachMode: 'Single' } as const;
  const mode = { ...attached, other: tomlTable() };
  return { form: 'location', mode, shard: null, settings, other: tomlTable() };
}

export const document: MakeScenario = async (random) =>
  formatted({
    kind: 'document',
    versions: Array.from({ length: 3 }, () => ({
      lsn: BigInt(random(0xffff_ffff)),
      bytes: randomBytes(random, pick(random, LENGTHS)),
    })),
    encode: encodeDocument,
    write: writeDocument,
    read: readDocument,
  });

/** The removal itself, on a directory full of what it is for. */
export const leftovers: MakeScenario = async (random) => {
  const seed = drawSeed(random);
  const old = randomBytes(random, 100);
  const stale = Array.from({ length: between(random, 1, 6) }, (_, number) => ({
    path: `${DATA}/${seed}-${number}.___temp`,
    content: randomBytes(random, random(9000)),
  }));
  return {
    kind: 'leftovers',
    directories: [DATA],
    prepare: (fileSystem, ledger) => {
      createBystanders(fileSystem, ledger);
      fileSystem.createFile(PATH, old);
      ledger.settle(PATH, old);
      createLeftovers(fileSystem, seed);
      for (const { path, content } of stale) fileSystem.createFile(path, content);
    },
    run: async ({ openFiles, signal }) => {
      await succeeds(() => removeLeftovers(DATA, { openFiles, signal }));
    },
    read: async () => {},
  };
};
