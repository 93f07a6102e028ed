/**
 * File names of layers.
 *
 *   delta  {start key}-{end key}__{start LSN}-{end LSN}
 *   image  {start key}-{end key}__{LSN}
 *
 * Keys have 36 hex digits, LSNs 16. A local file may end in `-v1-{generation}`, a remote object in
 * `-{generation}`; a generation has 8 hex digits. Reading accepts what Neon's pageserver does: LSNs
 * of 1 to 16 digits, either case, and as a suffix `-v` followed by anything, or `-` followed by
 * exactly 8 characters. Writing produces the canonical form only.
 *
 * Source: Neon pageserver/src/tenant/storage_layer/layer_name.rs.
 */
import { checkObject, checkOneOf, checkText } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { compareKeys, formatKey, KEY_SIZE, type Key, type KeyRange, parseKey } from './key.ts';
import { checkLsn, formatLsn, type Lsn, type LsnRange, parseLsn } from './lsn.ts';
import { joinHalves } from './lsn-halves.ts';
import { newNameDigits, readCanonicalName } from './name-digits.ts';

/** The name of a delta layer. */
export interface DeltaLayerName {
  /** Tells the two kinds apart. */
  readonly kind: 'delta';
  /** Keys of the layer. */
  readonly keyRange: KeyRange;
  /** LSNs of the layer. */
  readonly lsnRange: LsnRange;
  /** 8 hex digits. */
  readonly generation?: string | undefined;
}

/** The name of an image layer. */
export interface ImageLayerName {
  /** Tells the two kinds apart. */
  readonly kind: 'image';
  /** Keys of the layer. */
  readonly keyRange: KeyRange;
  /** The LSN of all images. */
  readonly lsn: Lsn;
  /** 8 hex digits. */
  readonly generation?: string | undefined;
}

/** The name of a layer of either kind. */
export type LayerName = DeltaLayerName | ImageLayerName;

/** Longest file name, in bytes of UTF-8. */
const MAXIMUM_NAME_LENGTH = 255;

/** A suffix holds no separator and no NUL, so that a name cannot lead out of its directory. */
const PATTERN =
  /^(?<start>[0-9a-fA-F]{36})-(?<end>[0-9a-fA-F]{36})__(?<lsn>[0-9a-fA-F]{1,16})(?<rest>[^/\\\0]*)$/;

/**
 * Parses the last component of a path.
 *
 * @throws `invalid-input` if it is not a layer name; `ambiguous-name` if it could be of either kind.
 */
export function parseLayerName(name: string): LayerName {
  checkText('layer name', name);
  const canonical = parseCanonical(name);
  if (canonical !== undefined) return canonical;
  const groups = utf8Length(name) <= MAXIMUM_NAME_LENGTH ? PATTERN.exec(name)?.groups : undefined;
  const { start, end, lsn, rest } = groups ?? {};
  if (start === undefined || end === undefined || lsn === undefined || rest === undefined) {
    throw notALayerName(name);
  }
  const keyRange = { start: parseKey(start), end: parseKey(end) };
  const delta = parseDelta(keyRange, lsn, rest);
  const image = parseImage(keyRange, lsn, rest);
  if (delta !== undefined && image !== undefined) throw ambiguous(name);
  const parsed = delta ?? image;
  if (parsed === undefined) throw notALayerName(name);
  return parsed;
}

/**
 * The canonical name of a local file.
 *
 * @throws `out-of-range` and `invalid-input` for keys, LSNs or a generation that are not valid.
 */
export function formatLayerName(name: LayerName): string {
  checkObject('layer name', name);
  checkOneOf('kind of layer', name.kind, ['delta', 'image']);
  checkObject('key range', name.keyRange);
  if (name.kind === 'delta') checkObject('LSN range', name.lsnRange);
  const lsns =
    name.kind === 'delta'
      ? `${formatCheckedLsn(name.lsnRange.start)}-${formatCheckedLsn(name.lsnRange.end)}`
      : formatCheckedLsn(name.lsn);
  const { start, end } = name.keyRange;
  return `${formatKey(start)}-${formatKey(end)}__${lsns}${formatSuffix(name.generation)}`;
}

/** Throws `invalid-input` unless the text is a generation: 8 hex digits. */
export function checkGeneration(generation: string | undefined): void {
  if (generation === undefined) return;
  checkText('generation', generation);
  if (/^[0-9a-fA-F]{8}$/.test(generation)) return;
  throw new StorageError('invalid-input', {
    what: 'generation',
    expected: '8 hex digits',
    actual: JSON.stringify(generation),
  });
}

/** Same kind, key range and LSNs, whatever the generation. */
export function sameLayer(left: LayerName, right: LayerName): boolean {
  return (
    formatLayerName({ ...left, generation: undefined }) ===
    formatLayerName({ ...right, generation: undefined })
  );
}

/** Bytes of UTF-8; of a text that is too long at most the number of its characters. */
function utf8Length(text: string): number {
  if (text.length > MAXIMUM_NAME_LENGTH) return text.length;
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4;
  }
  return length;
}

/** Reused from name to name. */
const DIGITS = newNameDigits();
const LOCAL_SUFFIX = /^-v1-[0-9a-fA-F]{8}$/;
const LOCAL_SUFFIX_LENGTH = 12;

/** The canonical names of files and of the index, which nearly all names are; undefined for others. */
function parseCanonical(name: string): LayerName | undefined {
  const suffix = name.slice(-LOCAL_SUFFIX_LENGTH);
  const isLocal = suffix.startsWith('-v') && LOCAL_SUFFIX.test(suffix);
  const bare = isLocal ? name.slice(0, -LOCAL_SUFFIX_LENGTH) : name;
  if (!readCanonicalName(bare, DIGITS)) return undefined;
  const { kind, keys, lsns } = DIGITS;
  const keyRange = { start: keys.slice(0, KEY_SIZE), end: keys.slice(KEY_SIZE) };
  const start = joinHalves(lsns[0] ?? 0, lsns[1] ?? 0);
  const generation = isLocal ? { generation: suffix.slice(-8) } : {};
  if (kind === 'image') return { kind, keyRange, lsn: start, ...generation };
  const end = joinHalves(lsns[2] ?? 0, lsns[3] ?? 0);
  return { kind, keyRange, lsnRange: { start, end }, ...generation };
}

function parseDelta(keyRange: KeyRange, lsn: string, rest: string): DeltaLayerName | undefined {
  const match = /^-(?<endLsn>[0-9a-fA-F]{1,16})(?<suffix>-.*)?$/s.exec(rest)?.groups;
  if (match?.['endLsn'] === undefined) return undefined;
  const suffix = parseSuffix(match['suffix'] ?? '');
  if (suffix === undefined) return undefined;
  const lsnRange = { start: parseLsn(lsn), end: parseLsn(match['endLsn']) };
  if (lsnRange.start >= lsnRange.end || !isAscending(keyRange.start, keyRange.end))
    return undefined;
  return { kind: 'delta', keyRange, lsnRange, ...suffix };
}

function parseImage(keyRange: KeyRange, lsn: string, rest: string): ImageLayerName | undefined {
  const suffix = parseSuffix(rest);
  if (suffix === undefined) return undefined;
  return { kind: 'image', keyRange, lsn: parseLsn(lsn), ...suffix };
}

/** Undefined unless the text is a suffix; with the generation if it has one. */
function parseSuffix(suffix: string): { readonly generation?: string } | undefined {
  if (suffix === '') return {};
  if (!suffix.startsWith('-v') && suffix.length !== 9) return undefined;
  if (!suffix.startsWith('-')) return undefined;
  const generation = /^(?:-v1)?-(?<digits>[0-9a-fA-F]{8})$/.exec(suffix)?.groups?.['digits'];
  return generation === undefined ? {} : { generation };
}

function formatSuffix(generation: string | undefined): string {
  checkGeneration(generation);
  return generation === undefined ? '' : `-v1-${generation.toLowerCase()}`;
}

/** Exactly 16 digits. */
function formatCheckedLsn(lsn: Lsn): string {
  checkLsn(lsn);
  return formatLsn(lsn);
}

function isAscending(start: Key, end: Key): boolean {
  return compareKeys(start, end) < 0;
}

function notALayerName(name: string): StorageError {
  return new StorageError('invalid-input', {
    what: 'layer file name',
    expected: '{key}-{key}__{LSN}-{LSN} or {key}-{key}__{LSN}',
    actual: JSON.stringify(name.slice(0, MAXIMUM_NAME_LENGTH)),
  });
}

function ambiguous(name: string): StorageError {
  return new StorageError('ambiguous-name', {
    what: 'layer file name of a delta layer, or of an image layer with a generation',
    actual: JSON.stringify(name),
  });
}
