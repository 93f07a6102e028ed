/**
 * Keys as people type them: NAME=VALUE fields, or the 36 hex digits.
 *
 *   rel=1663/5/16384 fork=main blkno=7     block; fork defaults to main
 *   rel=1663/5/16384 fork=main size        size of the fork
 *   path=base/5/16384.1 blkno=7            block of a file: here block 131079 of the fork
 *   relmap db=1663/5                       relation map; 1664/0 for the shared catalogs
 *   rel_dir db=1663/5                      relation directory
 *   slru=clog segno=3 blkno=7              SLRU block
 *   slru=clog segno=3 size                 size of the segment
 *   slru=clog                              SLRU directory
 *   xid=740                                two-phase file
 *   db_dir, twophase_dir, control_file, checkpoint, aux_files
 *
 * The names are those of KeyMeaning, so that the description of a key can be parsed again:
 * `kind=rel_block spcnode=1663 dbnode=5 relnode=16384 fork=main blkno=7`. Numbers are decimal or
 * 0x hex. Fields that are missing, repeated, unknown or not part of the kind are refused.
 */
import { checkObject, checkText } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { type Key, parseKey } from '../layers/key.ts';
import { unknownName } from '../nearest-name.ts';
import { FORK_NAMES, type Fork, forkOfNumber, isForkName, MAXIMUM_FORK_NUMBER } from './fork.ts';
import {
  auxFilesKey,
  checkpointKey,
  controlFileKey,
  type DatabaseId,
  databaseDirectoryKey,
  type KeyKind,
  MAXIMUM_BLOCK_NUMBER,
  MAXIMUM_OID,
  MAXIMUM_XID,
  type RelationForkId,
  relationBlockKey,
  relationDirectoryKey,
  relationMapKey,
  relationSizeKey,
  SLRU_NAMES,
  type SlruName,
  type SlruSegmentId,
  slruBlockKey,
  slruDirectoryKey,
  slruSizeKey,
  twophaseDirectoryKey,
  twophaseKey,
} from './key-mapping.ts';
import { BLOCKS_PER_SEGMENT, fieldsOfPath } from './key-path.ts';

/** The forms of a key, for the help text of a command. */
export const KEY_FIELDS_HELP = `\
KEY is 36 hex digits, or fields:
  rel=SPC/DB/REL [fork=main|fsm|vm|init] blkno=N   block of a relation
  rel=SPC/DB/REL [fork=...] size                   its size
  path=base/DB/FILE blkno=N | size                 block of a file, counted within it
  relmap db=SPC/DB | rel_dir db=SPC/DB             relation map, relation directory
  slru=clog|multixact_members|multixact_offsets segno=N blkno=N | size
  slru=NAME                                        SLRU directory
  xid=N                                            two-phase file
  db_dir | twophase_dir | control_file | checkpoint | aux_files`;

/**
 * Parses a key: 36 hex digits, or fields as in `keyFromFieldsText`.
 *
 * @param words A word may hold several fields.
 * @throws `invalid-input`, `out-of-range`.
 * @example parseKeyText(['rel=1663/5/16384', 'blkno=7'])
 */
export function parseKeyText(words: readonly string[]): Key {
  checkWords(words);
  const [only, ...others] = splitWords(words);
  if (only !== undefined && others.length === 0 && /^[0-9a-fA-F]+$/.test(only)) {
    return parseKey(only);
  }
  return keyFromFieldsText(words);
}

/**
 * Parses a key from fields, such as `rel=1663/5/16384 fork=main blkno=7`; `KEY_FIELDS_HELP` lists
 * the forms.
 *
 * @param words A word may hold several fields.
 * @throws `invalid-input`, `out-of-range`.
 */
export function keyFromFieldsText(words: readonly string[]): Key {
  checkWords(words);
  const fields = readFields(splitWords(words));
  const kind = kindOf(fields);
  checkFieldsOfKind(kind, fields);
  return BUILD[kind](fields);
}

const FIELD_NAMES = [
  'rel',
  'db',
  'spcnode',
  'dbnode',
  'relnode',
  'fork',
  'blkno',
  'slru',
  'segno',
  'xid',
  'kind',
  'path',
] as const;
type FieldName = (typeof FIELD_NAMES)[number];

/** Kinds that fields can name; metadata keys and unknown ones need hex digits. */
type BuildableKind = Exclude<KeyKind, 'metadata' | 'unknown'>;

/** The text of each field, after `rel` and `db` are split; `kind` is a valid kind or `size`. */
type Fields = ReadonlyMap<FieldName | 'size' | 'segment', string>;

const BUILD: { readonly [K in BuildableKind]: (fields: Fields) => Key } = {
  rel_block: (fields) => relationBlockKey({ ...relation(fields), blkno: blockNumber(fields) }),
  rel_size: (fields) => relationSizeKey(relation(fields)),
  relmap: (fields) => relationMapKey(database(fields)),
  rel_dir: (fields) => relationDirectoryKey(database(fields)),
  db_dir: () => databaseDirectoryKey(),
  slru_block: (fields) => slruBlockKey({ ...segment(fields), blkno: blockNumber(fields) }),
  slru_size: (fields) => slruSizeKey(segment(fields)),
  slru_dir: (fields) => slruDirectoryKey(slruName(fields)),
  twophase: (fields) => twophaseKey(transactionId(fields)),
  twophase_dir: () => twophaseDirectoryKey(),
  control_file: () => controlFileKey(),
  checkpoint: () => checkpointKey(),
  aux_files: () => auxFilesKey(),
};

const RELATION = ['spcnode', 'dbnode', 'relnode'] as const;

const REQUIRED: { readonly [K in BuildableKind]: readonly FieldName[] } = {
  rel_block: [...RELATION, 'blkno'],
  rel_size: RELATION,
  relmap: ['spcnode', 'dbnode'],
  rel_dir: ['spcnode', 'dbnode'],
  db_dir: [],
  slru_block: ['slru', 'segno', 'blkno'],
  slru_size: ['slru', 'segno'],
  slru_dir: ['slru'],
  twophase: ['xid'],
  twophase_dir: [],
  control_file: [],
  checkpoint: [],
  aux_files: [],
};

function checkWords(words: readonly string[]): void {
  checkObject('words', words);
  for (const word of Array.isArray(words) ? words : [undefined]) checkText('word', word);
}

function splitWords(words: readonly string[]): string[] {
  return words.flatMap((word) => word.split(/\s+/)).filter((word) => word !== '');
}

function readFields(words: readonly string[]): Fields {
  const fields = new Map<FieldName | 'size' | 'segment', string>();
  const put = (name: FieldName | 'size' | 'segment', text: string): void => {
    if (fields.has(name)) throw invalid(`field ${name}`, 'once', 'twice');
    fields.set(name, text);
  };
  for (const word of words) {
    const equals = word.indexOf('=');
    if (equals < 0) {
      if (word === 'size') put('size', '');
      else put('kind', checkKind(word));
      continue;
    }
    const name = checkFieldName(word.slice(0, equals));
    const text = word.slice(equals + 1);
    if (name === 'rel') splitPath(name, text, RELATION, put);
    else if (name === 'db') splitPath(name, text, ['spcnode', 'dbnode'], put);
    else if (name === 'path') for (const [field, value] of fieldsOfPath(text)) put(field, value);
    else if (name === 'kind') put(name, checkKind(text));
    else put(name, text);
  }
  return fields;
}

function splitPath(
  name: FieldName,
  text: string,
  partNames: readonly FieldName[],
  put: (name: FieldName, text: string) => void,
): void {
  const parts = text.split('/');
  if (parts.length !== partNames.length) {
    throw invalid(`field ${name}`, partNames.join('/'), JSON.stringify(text));
  }
  for (const [index, partName] of partNames.entries()) put(partName, parts[index] ?? '');
}

function checkFieldName(name: string): FieldName {
  const known = FIELD_NAMES.find((candidate) => candidate === name);
  if (known !== undefined) return known;
  throw unknown('field', name, [...FIELD_NAMES]);
}

function checkKind(text: string): BuildableKind {
  if (isBuildableKind(text)) return text;
  if (text === 'metadata' || text === 'unknown') {
    throw invalid(`key of kind ${text}`, '36 hex digits', 'fields');
  }
  // A word without `=` may also be a field whose value is missing.
  throw unknown('kind or field', text, [...Object.keys(BUILD), 'size', ...FIELD_NAMES]);
}

function isBuildableKind(text: string): text is BuildableKind {
  return Object.hasOwn(BUILD, text);
}

function unknown(kind: string, name: string, candidates: readonly string[]): StorageError {
  return new StorageError('invalid-input', unknownName(kind, name, candidates));
}

function kindOf(fields: Fields): BuildableKind {
  const named = fields.get('kind');
  if (named !== undefined && isBuildableKind(named)) return named;
  if (fields.has('slru')) {
    if (fields.has('blkno')) return 'slru_block';
    if (fields.has('size')) return 'slru_size';
    if (!fields.has('segno')) return 'slru_dir';
    throw invalid('key fields', 'blkno=N or size', 'neither');
  }
  if (fields.has('xid')) return 'twophase';
  if (fields.has('relnode')) {
    if (fields.has('blkno')) return 'rel_block';
    if (fields.has('size')) return 'rel_size';
    throw invalid('key fields', 'blkno=N or size', 'neither');
  }
  const given = [...fields.keys()].join(', ');
  throw invalid('key fields', 'rel=, slru=, xid= or a kind', given === '' ? 'nothing' : given);
}

function checkFieldsOfKind(kind: BuildableKind, fields: Fields): void {
  const required = REQUIRED[kind];
  for (const name of required) {
    if (!fields.has(name)) throw invalid(`key of kind ${kind}`, `${name}=N`, 'no such field');
  }
  const hasFork = kind === 'rel_block' || kind === 'rel_size';
  const hasSize = kind === 'rel_size' || kind === 'slru_size';
  for (const name of fields.keys()) {
    const belongs =
      name === 'kind' ||
      (name === 'fork' && hasFork) ||
      (name === 'segment' && hasFork) ||
      (name === 'size' && hasSize) ||
      required.some((candidate) => candidate === name);
    if (!belongs) throw invalid(`key of kind ${kind}`, `no field ${name}`, `${name}`);
  }
}

function relation(fields: Fields): RelationForkId {
  return {
    spcnode: integer(fields, 'spcnode', 0, MAXIMUM_OID),
    dbnode: integer(fields, 'dbnode', 0, MAXIMUM_OID),
    relnode: integer(fields, 'relnode', 1, MAXIMUM_OID),
    fork: fork(fields),
  };
}

function database(fields: Fields): DatabaseId {
  return {
    spcnode: integer(fields, 'spcnode', 1, MAXIMUM_OID),
    dbnode: integer(fields, 'dbnode', 0, MAXIMUM_OID),
  };
}

function segment(fields: Fields): SlruSegmentId {
  return { slru: slruName(fields), segno: integer(fields, 'segno', 0, MAXIMUM_OID) };
}

function blockNumber(fields: Fields): number {
  const segment = Number(fields.get('segment') ?? 0);
  const first = segment * BLOCKS_PER_SEGMENT;
  const hasPath = fields.has('segment');
  const last = hasPath ? BLOCKS_PER_SEGMENT - 1 : MAXIMUM_BLOCK_NUMBER;
  const blkno = first + integer(fields, 'blkno', 0, last);
  if (blkno <= MAXIMUM_BLOCK_NUMBER) return blkno;
  throw invalid(
    'field path',
    `a segment below ${MAXIMUM_BLOCK_NUMBER / BLOCKS_PER_SEGMENT}`,
    `${segment}`,
  );
}

function fork(fields: Fields): Fork {
  const text = fields.get('fork') ?? 'main';
  if (isForkName(text)) return text;
  if (/^[0-9]/.test(text)) {
    return forkOfNumber(integer(fields, 'fork', 0, MAXIMUM_FORK_NUMBER));
  }
  throw unknown('fork', text, FORK_NAMES);
}

function slruName(fields: Fields): SlruName {
  const text = fields.get('slru') ?? '';
  const known = SLRU_NAMES.find((name) => name === text);
  if (known !== undefined) return known;
  throw unknown('slru', text, SLRU_NAMES);
}

function integer(fields: Fields, name: FieldName, minimum: number, maximum: number): number {
  return Number(bigInteger(fields, name, BigInt(minimum), BigInt(maximum)));
}

function transactionId(fields: Fields): bigint {
  return bigInteger(fields, 'xid', 1n, MAXIMUM_XID);
}

/** Twenty digits hold every u64; longer text is refused before it is parsed. */
function bigInteger(fields: Fields, name: FieldName, minimum: bigint, maximum: bigint): bigint {
  const text = fields.get(name) ?? '';
  if (/^([0-9]{1,20}|0[xX][0-9a-fA-F]{1,16})$/.test(text)) {
    const value = BigInt(text);
    if (value >= minimum && value <= maximum) return value;
  }
  throw invalid(`field ${name}`, `an integer from ${minimum} to ${maximum}`, JSON.stringify(text));
}

function invalid(what: string, expected: string, actual: string): StorageError {
  return new StorageError('invalid-input', { what, expected, actual });
}
