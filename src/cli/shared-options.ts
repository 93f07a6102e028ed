/** Options that several commands share, and what their values mean. */
import type { Compression } from '../zstd/compression.ts';
import {
  countArgument,
  directoryArgument,
  generationArgument,
  jobsArgument,
  lsnArgument,
  sizeArgument,
  zstdLevelArgument,
} from './arguments.ts';
import { flag, negation, type OptionValues, option, requiredOption } from './command.ts';
import type { Format } from './context.ts';

const HIDDEN_NDJSON = flag('--ndjson', 'same as --json').hideHelp();

/** For a command that prints a single object: both options mean the same. */
export const OBJECT_FORMAT = {
  json: flag('--json', 'output as one JSON object'),
  ndjson: HIDDEN_NDJSON,
};

/** For a command that prints one JSON line in any case. */
export const JSON_ERRORS = {
  json: flag('--json', 'print errors as JSON, too'),
  ndjson: HIDDEN_NDJSON,
};

/** For a command that prints a list. `item` names what a line holds: `one entry`. */
export function listFormat(item: string) {
  return {
    ndjson: flag('--ndjson', `output as JSON lines, ${item} per line`).conflicts('json'),
    json: flag('--json', 'output as one JSON document'),
  };
}

export function formatOf(options: { json?: true | undefined; ndjson?: true | undefined }): Format {
  if (options.ndjson) return 'ndjson';
  return options.json ? 'json' : 'people';
}

/** For a command whose table fits 80 columns. */
export const WIDE = flag('--wide', 'print complete tables, however long the lines');

/** For a command that reads many layers. */
export const JOBS = {
  jobs: option('-j, --jobs <n>', 'layers at a time (default: number of processors)', jobsArgument),
};

/** For a command that lists what is wrong with each file. */
export function findingOptions(item: 'file' | 'layer') {
  return {
    maxFindings: option(
      '--max-findings <n>',
      `maximum number of findings listed per ${item} (default: 1000)`,
      countArgument,
    ),
    quiet: flag('-q, --quiet', `only ${item}s with findings`),
  };
}

/** Bounds on what one blob of an untrusted file may cost. */
export const READ_LIMITS = {
  maxBlob: option(
    '--max-blob <size>',
    'maximum size of a decompressed value (default: 256MiB, or none where values are streamed)',
    sizeArgument,
  ),
  maxWindow: option(
    '--max-window <size>',
    'maximum window of a zstd frame, up to 128MiB (default: 8MiB)',
    sizeArgument,
  ),
};

export type ReadLimits = OptionValues<typeof READ_LIMITS>;

/** Returns the limits as options of a layer reader. */
export function limitOptions({ maxBlob, maxWindow }: ReadLimits) {
  return { maximumBlobLength: maxBlob, maximumWindowSize: maxWindow };
}

/** For a command that lists entries. */
export const LSN_RANGE = {
  lsnStart: option('--lsn-start <lsn>', 'first LSN', lsnArgument),
  lsnEnd: option('--lsn-end <lsn>', 'LSN to stop before', lsnArgument),
};

/** For a command that looks a key up. */
export const AT_LSN = {
  lsn: option('--lsn <lsn>', 'look at or before this LSN (default: the highest)', lsnArgument),
};

/** For a command that writes a layer. */
export const LAYER_OPTIONS = {
  out: requiredOption('--out <dir>', 'directory for the layer', directoryArgument),
  zstd: option(
    '--zstd <level>',
    'compression level of images, -7 to 22; 0 means 3 (default: 1)',
    zstdLevelArgument,
  ),
  compress: negation('--no-compress', 'do not compress images').conflicts('zstd'),
  generation: option(
    '--generation <hex8>',
    'generation in the name of the layer',
    generationArgument,
  ),
  manifest: flag('--manifest', 'write checksums next to the layer, for manifest check'),
};

export type LayerOptions = OptionValues<typeof LAYER_OPTIONS>;

/** Returns undefined for the default of the writers. */
export function compressionOf({
  zstd,
  compress,
}: Pick<LayerOptions, 'zstd' | 'compress'>): Compression | undefined {
  if (!compress) return { kind: 'none' };
  return zstd === undefined ? undefined : { kind: 'zstd', level: zstd };
}
