/** An index as the command line shows it: LSNs of 16 digits, and integers beyond 2^53 as text. */
import { formatLsn, parseLsn } from '../layers/lsn.ts';
import { isJsonObject, isKeptNumber, type JsonValue } from '../timeline/exact-json.ts';
import type { IndexPart } from '../timeline/index-part/index-part.ts';
import type { Json } from './json.ts';

/** The whole index, with unknown fields; its version is the stored one. */
export function indexJson(index: IndexPart): { readonly [name: string]: Json } {
  const shown: Record<string, Json> = {};
  for (const [name, value] of Object.entries(index.toJson())) {
    Object.defineProperty(shown, name, {
      value: shownValue(value),
      enumerable: true,
      writable: true,
    });
  }
  shown['version'] = index.fields.version;
  shown['disk_consistent_lsn'] = formatLsn(index.storedDiskConsistentLsn);
  return shown;
}

/** A value of the index; every text that is an LSN has 16 digits. */
export function shownValue(value: JsonValue): Json {
  if (typeof value === 'string') return isPgLsn(value) ? formatLsn(parseLsn(value)) : value;
  if (typeof value === 'bigint') return String(value);
  if (isKeptNumber(value)) return value.value;
  if (isJsonObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, shownValue(inner)]),
    );
  }
  if (typeof value === 'object' && value !== null) {
    const items: readonly JsonValue[] = value;
    return items.map(shownValue);
  }
  return value;
}

function isPgLsn(text: string): boolean {
  return /^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/.test(text);
}
