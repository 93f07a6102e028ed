/**
 * Options of commands that describe the WAL records in values. A layer does not say which version of Postgres wrote
 * them; the index of its timeline does, or the caller.
 */
import { InvalidArgumentError } from 'commander';
import type { HeapDialect } from '../wal/heap-dialect.ts';
import { majorVersionArgument, postgresNumberArgument } from './arguments.ts';
import { option } from './command.ts';

const DIALECTS: readonly HeapDialect[] = ['vanilla', 'neon'];

/** For commands that read a single layer, which knows no version. */
export const PG_VERSION = option(
  '--pg-version <n>',
  'major version of Postgres, 14 to 17, to describe WAL records',
  majorVersionArgument,
);

/** For commands that describe records. */
export const DIALECT = option(
  '--dialect <name>',
  'writer of the heap records of Postgres 14 or 15: vanilla or neon (default: detected by their length)',
  dialectArgument,
);

/** For commands that list entries. */
export const RECORD_FILTERS = {
  rmgr: option('--rmgr <name>', 'only WAL records of a resource manager, such as Heap', String),
  xid: option('--xid <n>', 'only WAL records of a transaction', postgresNumberArgument),
};

function dialectArgument(text: string): HeapDialect {
  const dialect = DIALECTS.find((name) => name === text);
  if (dialect !== undefined) return dialect;
  throw new InvalidArgumentError(`Expected ${DIALECTS.join(' or ')}.`);
}
