/** The files that Neon's own writer wrote, with the inputs that it was given. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addToKey, type Key, parseKey } from '../../src/layers/key.ts';
import { type Lsn, parseLsn } from '../../src/layers/lsn.ts';
import type { Value } from '../../src/layers/value-format.ts';
import { fill } from '../golden/generator.mjs';

export const GOLDEN_DIRECTORY = fileURLToPath(new URL('../golden', import.meta.url));

interface Fill {
  readonly mode: string;
  readonly seed: string;
  readonly len: number;
}

interface JsonBytes {
  readonly hex?: string;
  readonly fill?: Fill;
}

interface JsonValue extends JsonBytes {
  readonly type: string;
  readonly will_init?: boolean;
  readonly new?: number | null;
  readonly old?: number | null;
  readonly flags?: number;
  readonly xids?: number[];
  readonly timestamp?: string;
  readonly mid?: number;
  readonly moff?: number;
  readonly members?: { xid: number; status: number }[];
  readonly path?: string;
  readonly content?: string | null;
  readonly trunc_byte?: string;
  readonly trunc_offs?: string;
}

interface JsonEntry extends JsonBytes {
  readonly key: string;
  readonly lsn?: string;
  readonly value?: JsonValue;
  readonly repeat?: number;
  readonly key_step?: number;
  readonly lsn_step?: number;
}

export interface DumpedEntry {
  readonly key: string;
  readonly lsn: string;
  readonly off: number;
  readonly stored_len: number;
  readonly len: number;
  readonly type: string;
  readonly will_init: boolean;
  readonly compressed?: boolean;
  readonly hex?: string;
  readonly sha256?: string;
}

export interface LayerManifest {
  readonly case: string;
  readonly kind: 'delta' | 'image';
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
  readonly compression?: string;
  readonly summary: {
    readonly index_start_blk: number;
    readonly index_root_blk: number;
  };
  readonly index: {
    readonly levels: number;
    readonly blocks: number;
    readonly nodes: readonly {
      readonly num_children: number;
      readonly level: number;
      readonly prefix_len: number;
      readonly suffix_len: number;
    }[];
  };
  readonly header: {
    readonly tenant_id: string;
    readonly timeline_id: string;
    readonly key_start: string;
    readonly key_end: string;
    readonly lsn_start?: string;
    readonly lsn_end?: string;
    readonly lsn?: string;
  };
  readonly entries: readonly JsonEntry[];
  readonly dump: readonly DumpedEntry[];
}

export interface GoldenLayer {
  readonly manifest: LayerManifest;
  readonly path: string;
}

export function goldenLayers(): GoldenLayer[] {
  const directory = join(GOLDEN_DIRECTORY, 'layers');
  return readdirSync(directory)
    .sort()
    .flatMap((name) => {
      const text = readFileSync(join(directory, name, 'manifest.json'), 'utf8');
      const manifest: LayerManifest | { kind: 'metadata' } = JSON.parse(text);
      if (manifest.kind === 'metadata') return [];
      return [{ manifest, path: join(directory, name, manifest.file) }];
    });
}

export interface CorruptFile {
  readonly id: string;
  readonly path: string;
  readonly kind: 'delta' | 'image';
  readonly wrong: string;
  readonly expect: 'open' | 'index' | 'entry' | 'strict' | 'accept' | 'undetectable';
  /** Key and, for a delta, LSN. */
  readonly probe: readonly string[];
}

export function corruptFiles(): CorruptFile[] {
  const directory = join(GOLDEN_DIRECTORY, 'corrupt');
  const { files }: { files: (CorruptFile & { file: string })[] } = JSON.parse(
    readFileSync(join(directory, 'corrupt.json'), 'utf8'),
  );
  return files.map((file) => ({ ...file, path: join(directory, file.file) }));
}

export interface InputEntry {
  readonly key: Key;
  readonly lsn: Lsn;
  readonly value: Value;
}

/** The entries that a manifest describes, runs written out. */
export function inputEntries(manifest: LayerManifest): InputEntry[] {
  const imageLsn = parseLsn(manifest.header.lsn ?? '0');
  return manifest.entries.flatMap((entry) =>
    Array.from({ length: entry.repeat ?? 1 }, (_, index) => ({
      key: addToKey(parseKey(entry.key), index * (entry.key_step ?? 1)),
      lsn:
        entry.lsn === undefined
          ? imageLsn
          : parseLsn(entry.lsn) + BigInt(index * (entry.lsn_step ?? 0)),
      value:
        entry.value === undefined
          ? { type: 'image' as const, bytes: bytesOf(entry, index) }
          : toValue(entry.value, index),
    })),
  );
}

function toValue(json: JsonValue, index: number): Value {
  switch (json.type) {
    case 'image':
      return { type: 'image', bytes: bytesOf(json, index) };
    case 'wal':
      return { type: 'wal', willInit: json.will_init ?? false, bytes: bytesOf(json, index) };
    case 'clear_vm':
      return {
        type: 'clear_vm',
        newHeapBlock: json.new ?? null,
        oldHeapBlock: json.old ?? null,
        flags: json.flags ?? 0,
      };
    case 'clog_set_committed':
      return {
        type: 'clog_set_committed',
        xids: json.xids ?? [],
        timestamp: BigInt(json.timestamp ?? 0),
      };
    case 'clog_set_aborted':
      return { type: 'clog_set_aborted', xids: json.xids ?? [] };
    case 'multixact_offset_create':
      return {
        type: 'multixact_offset_create',
        multixactId: json.mid ?? 0,
        multixactOffset: json.moff ?? 0,
      };
    case 'multixact_members_create':
      return {
        type: 'multixact_members_create',
        multixactOffset: json.moff ?? 0,
        members: json.members ?? [],
      };
    case 'aux_file':
      return {
        type: 'aux_file',
        path: json.path ?? '',
        content: typeof json.content === 'string' ? Buffer.from(json.content, 'hex') : null,
      };
    case 'truncate_vm':
      return {
        type: 'truncate_vm',
        truncByte: BigInt(json.trunc_byte ?? 0),
        truncOffset: BigInt(json.trunc_offs ?? 0),
      };
    default:
      throw new Error(`unknown value type ${json.type}`);
  }
}

function bytesOf(json: JsonBytes, index: number): Uint8Array {
  if (json.fill === undefined) return Buffer.from(json.hex ?? '', 'hex');
  return fill(json.fill.mode, BigInt(json.fill.seed) + BigInt(index), json.fill.len);
}
