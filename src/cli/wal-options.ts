/** The options of `wal`. */
import { InvalidArgumentError } from 'commander';
import {
  countArgument,
  directoryArgument,
  jobsArgument,
  lsnArgument,
  postgresNumberArgument,
} from './arguments.ts';
import { flag, type OptionValues, option } from './command.ts';
import { forkArgument, relationArgument } from './key-range.ts';
import { DIALECT } from './record-options.ts';
import { REMOTE_OPTIONS } from './remote-source.ts';
import { listFormat } from './shared-options.ts';

export const WAL_OPTIONS = {
  ...listFormat('one record'),
  start: option('--start <lsn>', 'LSN at or after which the first record begins', lsnArgument),
  end: option('--end <lsn>', 'LSN at or before which the last record ends', lsnArgument),
  limit: option('--limit <n>', 'maximum number of records', countArgument),
  rmgr: option(
    '--rmgr <name>',
    'records of a resource manager, such as Heap; repeatable',
    (name: string, previous: readonly string[] | undefined) => [...(previous ?? []), name],
  ),
  xid: option('--xid <n>', 'records of a transaction', postgresNumberArgument),
  rel: option('--rel <spc/db/rel>', 'records that change a relation', relationArgument),
  fork: option('--fork <fork>', 'fork of the blocks: main, fsm, vm or init', forkArgument),
  block: option('--block <n>', 'number of a block in the relation', postgresNumberArgument),
  fullpage: flag('--fullpage', 'records that contain a page image'),
  stats: option(
    '--stats [rows]',
    'statistics instead of records, with a row for each resource manager (rmgr) or kind (record)',
    statisticsArgument,
  ).preset('rmgr'),
  jobs: option(
    '-j, --jobs <n>',
    'number of threads that format or count records (default: number of processors, at most 4)',
    jobsArgument,
  ),
  follow: flag('--follow', 'wait for more at the end of the WAL, until interrupted'),
  timeline: option(
    '--timeline <n>',
    'last timeline of the WAL (default: the newest)',
    timelineArgument,
  ),
  skipCorrupt: flag('--skip-corrupt', 'continue after damage, at the next valid record or page'),
  dialect: DIALECT,
  sha256: flag('--sha256', 'SHA-256 of each restored page image, in JSON'),
  saveFullpage: option(
    '--save-fullpage <dir>',
    'directory for page images, one file each',
    directoryArgument,
  ),
  ...REMOTE_OPTIONS,
};
export type WalOptions = OptionValues<typeof WAL_OPTIONS>;

/** The value of `--stats`. */
export interface StatisticsChoice {
  readonly rows: 'rmgr' | 'record';
  /** A word after the option that is an argument, or is not a known kind of statistics. */
  readonly path: string | undefined;
}

/** A value is only given with `=`, but commander also takes the next word. */
function statisticsArgument(text: string): StatisticsChoice {
  if (text === 'record' || text === 'rmgr') return { rows: text, path: undefined };
  return { rows: 'rmgr', path: text };
}

function timelineArgument(text: string): number {
  const number = Number(text);
  if (/^\d{1,10}$/.test(text) && number >= 1 && number <= 0xffff_ffff) return number;
  throw new InvalidArgumentError('Expected a number from 1 to 4294967295.');
}
