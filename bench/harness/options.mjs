/** The options of the command line. */
import { parseArgs } from 'node:util';

export const USAGE = `npm run bench -- [options]

  --only NAMES   workloads, separated by commas; default: all but memory
  --runs N       runs of each row, of which the median counts; default 3
  --quick        a tenth of the data, one run
  --profile      writes CPU profiles of all that is timed to bench/profiles
  --no-build     measures the library as it was built last

  names: append delta ingest image scan points overwrite cli map timeline check wal
    ingest-wal import-pgdata merge growth memory
  LAYERFILE_BENCH_WAL=DIR reads the WAL there, instead of making some with Debian's pgbench
  LAYERFILE_BENCH_HUGE=1 adds 100,000,000 entries to growth`;

export function parseOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      runs: { type: 'string' },
      quick: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      'no-build': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const runs = Number(values.runs ?? (values.quick ? 1 : 3));
  if (!Number.isInteger(runs) || runs < 1) throw new RangeError('--runs takes a number from 1');
  return {
    only: values.only?.split(','),
    runs,
    quick: values.quick,
    profile: values.profile,
    build: !values['no-build'],
    help: values.help,
  };
}
