/** Options that select a range of keys: one key, a relation, or from one key to another. */
import { InvalidArgumentError } from 'commander';
import { isStorageError, StorageError } from '../errors.ts';
import {
  type Key,
  type KeyRange,
  keyFromFields,
  maximumKey,
  minimumKey,
  nextKey,
} from '../layers/key.ts';
import { FORK_NAMES, type ForkName, forkNumberOf, isForkName } from '../postgres/fork.ts';
import { parseKeyText } from '../postgres/key-fields.ts';
import { type OptionValues, option } from './command.ts';

/** Options of every command that reads a range of keys. */
export const KEY_RANGE_OPTIONS = {
  key: option('--key <key>', 'one key, as hex digits or fields', keyTextArgument),
  rel: option('--rel <spc/db/rel>', 'a relation, all forks', relationArgument),
  fork: option('--fork <fork>', 'fork of the relation: main, fsm, vm or init', forkArgument),
  keyStart: option('--key-start <key>', 'first key', keyTextArgument),
  keyEnd: option('--key-end <key>', 'key to stop before', keyTextArgument),
};

export type KeyRangeOptions = OptionValues<typeof KEY_RANGE_OPTIONS>;

export interface RelationNumbers {
  readonly spcnode: number;
  readonly dbnode: number;
  readonly relnode: number;
}

/**
 * The keys that all given options have in common; undefined if none is given. The range may be empty. Throws
 * `usage` for a fork without a relation.
 */
export function keyRangeOf(options: KeyRangeOptions): KeyRange | undefined {
  const { key, rel, fork, keyStart, keyEnd } = options;
  if (fork !== undefined && rel === undefined) {
    throw new StorageError('usage', { what: '--fork needs --rel' });
  }
  const ranges: KeyRange[] = [];
  if (key !== undefined) ranges.push({ start: key, end: nextKey(key) });
  if (rel !== undefined) ranges.push(rangeOfRelation(rel, fork));
  if (keyStart !== undefined || keyEnd !== undefined) {
    ranges.push({ start: keyStart ?? minimumKey(), end: keyEnd ?? maximumKey() });
  }
  if (ranges.length === 0) return undefined;
  const starts = ranges.map(({ start }) => start).sort(Buffer.compare);
  const ends = ranges.map(({ end }) => end).sort(Buffer.compare);
  return { start: starts.at(-1) as Key, end: ends[0] as Key };
}

export function isEmptyRange({ start, end }: KeyRange): boolean {
  return Buffer.compare(start, end) >= 0;
}

/** Hex digits, or fields in one word of the shell. */
function keyTextArgument(text: string): Key {
  try {
    return parseKeyText([text]);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    throw new InvalidArgumentError(`${error.message}.`);
  }
}

function rangeOfRelation(
  { spcnode, dbnode, relnode }: RelationNumbers,
  fork: ForkName | undefined,
): KeyRange {
  const relation = { field1: 0, field2: spcnode, field3: dbnode, field4: relnode };
  const at = (field5: number): Key => keyFromFields({ ...relation, field5, field6: 0 });
  if (fork !== undefined) {
    const number = forkNumberOf(fork);
    return { start: at(number), end: at(number + 1) };
  }
  const last = keyFromFields({ ...relation, field5: 0xff, field6: 0xffff_ffff });
  return { start: at(0), end: nextKey(last) };
}

export function relationArgument(text: string): RelationNumbers {
  const [spcnode, dbnode, relnode] = /^\d{1,10}\/\d{1,10}\/\d{1,10}$/.test(text)
    ? text.split('/').map(Number)
    : [];
  const isOid = (oid: number | undefined): oid is number => oid !== undefined && oid <= 0xffff_ffff;
  if (isOid(spcnode) && isOid(dbnode) && isOid(relnode) && relnode > 0) {
    return { spcnode, dbnode, relnode };
  }
  throw new InvalidArgumentError('Expected tablespace/database/relation, such as 1663/5/16384.');
}

export function forkArgument(text: string): ForkName {
  if (isForkName(text)) return text;
  throw new InvalidArgumentError(`Expected one of ${FORK_NAMES.join(', ')}.`);
}
