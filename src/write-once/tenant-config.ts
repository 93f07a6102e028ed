/**
 * Tenant configuration: TOML after two comment lines, in one of two forms:
 *
 *   tenant-config   an empty line, then
 *                   [tenant_config]     the settings
 *
 *   location        [mode.Attached]     generation, attach_mode
 *                   or [mode.Secondary] warm
 *                   [shard]             may be missing
 *                   [tenant_conf]       the settings
 *
 * The first is older (`tenants/{tenant}/config`), the second newer (`config-v1`). Only the settings
 * that differ from the defaults are stored. Unknown tables and fields are kept.
 * Source: Neon pageserver/src/tenant/mgr.rs, config.rs.
 */
import { checkObject, checkOneOf, checkText } from '../check-options.ts';
import { corrupt, StorageError } from '../errors.ts';
import { valueText } from '../printable.ts';
import { isErrorNamed } from '../realms.ts';
import { type ReadSmallFileOptions, readSmallFile } from '../virtual-file/small-file.ts';
import { type OverwriteOptions, overwriteFile } from './overwrite.ts';
import {
  formatToml,
  isTomlTable,
  parseToml,
  type TomlTable,
  type TomlValue,
  tomlTable,
} from './toml-value.ts';

/** A tenant configuration in either form. */
export type TenantConfig = OlderTenantConfig | LocationConfig;

/** The older form: settings only. */
export interface OlderTenantConfig {
  /** Which form the file has. */
  readonly form: 'tenant-config';
  /** Settings that differ from the defaults. */
  readonly settings: TomlTable;
  /** Tables and fields besides `tenant_config`. */
  readonly other: TomlTable;
}

/** The newer form: how the tenant is attached, and its settings. */
export interface LocationConfig {
  /** Which form the file has. */
  readonly form: 'location';
  /** How the tenant is attached here. */
  readonly mode: LocationMode;
  /** Which shard of the tenant it is. */
  readonly shard: TomlTable | null;
  /** Settings that differ from the defaults. */
  readonly settings: TomlTable;
  /** Tables and fields besides `mode`, `shard` and `tenant_conf`. */
  readonly other: TomlTable;
}

/** How the tenant is attached. */
export type LocationMode =
  | {
      readonly kind: 'attached';
      /** u32; null if missing. */
      readonly generation: number | null;
      /** `Single`, `Multi` or `Stale`; null if missing. */
      readonly attachMode: string | null;
      /** Fields that layerfile does not know. */
      readonly other: TomlTable;
    }
  | { readonly kind: 'secondary'; readonly warm: boolean | null; readonly other: TomlTable };

const FORMS: readonly TenantConfig['form'][] = ['location', 'tenant-config'];

const HEADER =
  "# This file contains a specific per-tenant's config.\n" +
  '#  It is read in case of pageserver restart.\n';

const MAXIMUM_FILE_LENGTH = 1024 * 1024;
const MAXIMUM_GENERATION = 0xffff_ffffn;

/**
 * Parses a tenant configuration.
 * @throws StorageError `corrupt`; for invalid TOML with an offset, in UTF-8 bytes
 */
export function parseTenantConfig(text: string): TenantConfig {
  checkText('tenant configuration', text);
  const document = new Fields('tenant configuration', parseToml(text));
  const older = document.table('tenant_config');
  const mode = document.table('mode');
  const shard = document.table('shard');
  const settings = document.table('tenant_conf');
  const other = document.rest();
  if (older === null) {
    if (mode === null) throw wrongTables('neither');
    return {
      form: 'location',
      mode: parseMode(mode),
      shard,
      settings: settings ?? tomlTable(),
      other,
    };
  }
  if (mode !== null || shard !== null || settings !== null) throw wrongTables('both');
  return { form: 'tenant-config', settings: older, other };
}

/**
 * Formats a tenant configuration as TOML.
 * @throws StorageError `invalid-input` for values that TOML cannot represent
 */
export function formatTenantConfig(config: TenantConfig): string {
  checkObject('tenant configuration', config);
  checkOneOf('form of the tenant configuration', config.form, FORMS);
  if (config.form === 'tenant-config') {
    const tables = { tenant_config: config.settings };
    return `${HEADER}\n${formatToml(merged(tables, config.other))}`;
  }
  const { mode, shard, settings, other } = config;
  const tables = { mode: tableOfMode(mode), shard, tenant_conf: settings };
  return HEADER + formatToml(merged(tables, other));
}

/**
 * Reads and parses a tenant configuration.
 * @throws StorageError as `parseTenantConfig`, and `not-found`, `io`, `too-large` (more than 1 MiB)
 */
export async function readTenantConfig(
  path: string,
  options: ReadSmallFileOptions = {},
): Promise<TenantConfig> {
  checkObject('options', options);
  const { openFiles } = options;
  const limits = { openFiles, maximumLength: MAXIMUM_FILE_LENGTH };
  return readSmallFile(path, limits, (content) => parseTenantConfig(textOf(content)));
}

/**
 * Replaces the file with a tenant configuration; the file need not exist.
 *
 * Durability: a crash leaves the old or the new configuration; once it resolves, the new one.
 * @throws StorageError as `formatTenantConfig` and `overwriteFile`
 */
export async function writeTenantConfig(
  path: string,
  config: TenantConfig,
  options: OverwriteOptions = {},
): Promise<void> {
  await overwriteFile(path, formatTenantConfig(config), options);
}

function parseMode(table: TomlTable): LocationMode {
  const modes = new Fields('mode', table);
  const attached = modes.table('Attached');
  const secondary = modes.table('Secondary');
  const isOne = (attached === null) !== (secondary === null) && modes.isEmpty();
  if (attached !== null && isOne) {
    const fields = new Fields('mode.Attached', attached);
    const generation = fields.generation('generation');
    const attachMode = fields.text('attach_mode');
    return { kind: 'attached', generation, attachMode, other: fields.rest() };
  }
  if (secondary !== null && isOne) {
    const fields = new Fields('mode.Secondary', secondary);
    const warm = fields.boolean('warm');
    return { kind: 'secondary', warm, other: fields.rest() };
  }
  throw corrupt(
    'table mode',
    undefined,
    'either Attached or Secondary',
    Object.keys(table).join(', '),
  );
}

function tableOfMode(mode: LocationMode): TomlTable {
  checkObject('mode of the tenant configuration', mode);
  checkOneOf('kind of the mode', mode.kind, ['attached', 'secondary']);
  if (mode.kind === 'secondary') {
    return tomlTable([['Secondary', merged({ warm: mode.warm }, mode.other)]]);
  }
  const { generation, attachMode, other } = mode;
  const fields = {
    generation: generation === null ? null : integerOf(generation),
    attach_mode: attachMode,
  };
  return tomlTable([['Attached', merged(fields, other)]]);
}

/** Known entries come first; null entries are omitted. */
function merged(known: Record<string, TomlValue | null>, other: TomlTable): TomlTable {
  checkObject('other fields of the tenant configuration', other);
  const table = tomlTable();
  for (const [name, value] of Object.entries(known)) if (value !== null) table[name] = value;
  for (const [name, value] of Object.entries(other)) {
    if (Object.hasOwn(known, name)) {
      throw new StorageError('invalid-input', {
        what: 'other fields of the tenant configuration',
        expected: 'names other than those of the known fields',
        actual: JSON.stringify(name),
      });
    }
    table[name] = value;
  }
  return table;
}

function integerOf(generation: number): bigint {
  if (Number.isInteger(generation) && generation >= 0 && generation <= MAXIMUM_GENERATION) {
    return BigInt(generation);
  }
  throw new StorageError('invalid-input', {
    what: 'generation',
    expected: `an integer from 0 to ${MAXIMUM_GENERATION}`,
    actual: valueText(generation),
  });
}

/** Removes the known fields from a table and keeps the rest unchanged. */
class Fields {
  readonly #what: string;
  readonly #left: Map<string, TomlValue>;

  constructor(what: string, table: TomlTable) {
    this.#what = what;
    this.#left = new Map(Object.entries(table));
  }

  table(name: string): TomlTable | null {
    return this.#take(name, 'a table', (value) => (isTomlTable(value) ? value : undefined));
  }

  text(name: string): string | null {
    return this.#take(name, 'a string', (value) => (typeof value === 'string' ? value : undefined));
  }

  boolean(name: string): boolean | null {
    return this.#take(name, 'a boolean', (value) =>
      typeof value === 'boolean' ? value : undefined,
    );
  }

  generation(name: string): number | null {
    return this.#take(name, 'an unsigned 32-bit integer', (value) => {
      const isU32 = typeof value === 'bigint' && value >= 0n && value <= MAXIMUM_GENERATION;
      return isU32 ? Number(value) : undefined;
    });
  }

  isEmpty(): boolean {
    return this.#left.size === 0;
  }

  rest(): TomlTable {
    return tomlTable(this.#left);
  }

  #take<T>(name: string, expected: string, check: (value: TomlValue) => T | undefined): T | null {
    const value = this.#left.get(name);
    if (value === undefined) return null;
    this.#left.delete(name);
    const checked = check(value);
    if (checked !== undefined) return checked;
    throw corrupt(`${name} of ${this.#what}`, undefined, expected, typeof value);
  }
}

function textOf(content: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
  } catch (error) {
    if (!isErrorNamed(error, 'TypeError')) throw error;
    const offset = firstInvalidOffset(content);
    throw new StorageError('corrupt', { what: 'text', offset, expected: 'UTF-8', cause: error });
  }
}

/** Where the longest prefix that is valid UTF-8 ends. */
function firstInvalidOffset(content: Uint8Array): number {
  // Decoded leniently, the text differs from the bytes first where they are invalid.
  const lenient = Buffer.from(Buffer.from(content).toString('utf8'), 'utf8');
  return content.findIndex((byte, offset) => byte !== lenient[offset]);
}

function wrongTables(actual: 'both' | 'neither'): StorageError {
  const expected = 'either [tenant_config], or [mode.Attached] or [mode.Secondary]';
  return corrupt('tables of the tenant configuration', undefined, expected, actual);
}
