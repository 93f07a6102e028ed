/** `build`: makes a layer from NDJSON. */
import { constants, createReadStream, openSync, statSync } from 'node:fs';
import { isNativeError } from 'node:util/types';
import { isStorageError, StorageError, throwIfAborted } from '../../errors.ts';
import type { DeltaLayerWriter } from '../../layers/delta-layer/writer.ts';
import type { ImageLayerWriter } from '../../layers/image-layer/writer.ts';
import type { FinishedLayer } from '../../layers/layer-file/layer-writer.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus } from '../exit-status.ts';
import { layerLine } from '../json.ts';
import type { LayerHeader } from '../layer-spec.ts';
import type { SpecLine } from '../ndjson-lines.ts';
import { compressionOf, JSON_ERRORS, LAYER_OPTIONS } from '../shared-options.ts';

const OPTIONS = {
  ...LAYER_OPTIONS,
  allowUnfitKeys: flag(
    '--allow-unfit-keys',
    'accept keys that a pageserver cannot hold, for tests of the format',
  ),
  ...JSON_ERRORS,
};
type BuildOptions = OptionValues<typeof OPTIONS>;

export function addBuild({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'build', OPTIONS)
    .description('Make a layer file from NDJSON: a header line, then one entry per line.')
    .argument('[spec]', 'file, or - for standard input', '-')
    .action((spec: string, options: BuildOptions) =>
      runner((context) => build(context, spec, options)),
    );
  addExamples(command, [
    ['layerfile build --out DIR < spec.ndjson', 'from standard input'],
    ['layerfile build --out DIR --zstd 19 --generation 0000002a spec.ndjson', 'from a file'],
  ]);
  command.addHelpText(
    'after',
    `
The header of a delta layer, and an entry:
  {"kind":"delta","tenant_id":ID,"timeline_id":ID,"key_start":KEY,"key_end":KEY,
   "lsn_start":LSN,"lsn_end":LSN}
  {"key":KEY,"lsn":LSN,"value":{"type":"image","hex":"..."}}
An image layer has "lsn" instead of "lsn_start" and "lsn_end"; an entry:
  {"key":KEY,"hex":"..."}
Entries ascend by key, then by LSN. The output of dump --values json is accepted.`,
  );
}

const CHUNK_SIZE = 256 * 1024;

async function build(context: Context, spec: string, options: BuildOptions): Promise<ExitStatus> {
  const { checkOutputDirectory, refuseInputAsOutput, STANDARD_INPUT, STANDARD_OUTPUT } =
    await import('../output-paths.ts');
  const { readNdjson } = await import('../ndjson-lines.ts');
  const { signal, reporter } = context;
  const path = spec === '-' ? undefined : spec;
  const input = path ?? STANDARD_INPUT;
  await refuseInputAsOutput(input, options.out);
  await refuseInputAsOutput(input, STANDARD_OUTPUT);
  await checkOutputDirectory(options.out);
  if (path === undefined && context.stdinIsTerminal) {
    reporter.note('reading the layer from the terminal; Ctrl-D ends it');
  }
  const progress = reporter.progress({ label: 'build' });
  const total = path === undefined ? context.stdinSize : sizeOf(path);
  const batches = readNdjson(readSpec(context, path), {
    path,
    signal,
    onProgress: (done) => progress.update({ done, total }),
  });
  try {
    const layer = await buildFrom(batches, {
      path,
      signal,
      open: (header) => openTarget(header, { context, options }),
    });
    progress.finish();
    if (layer.kind === 'delta' && options.zstd !== undefined) {
      reporter.warning('--zstd is ignored: a delta layer is not compressed');
    }
    await context.stdout.write(layerLine(layer));
    return CLEAN;
  } catch (error) {
    // The existing layer may be the spec itself.
    const existing = isStorageError(error, 'exists') ? error.path : undefined;
    if (existing !== undefined) await refuseInputAsOutput(input, existing);
    throw error;
  } finally {
    progress.finish();
    await batches.return();
  }
}

interface BuildRun {
  readonly path: string | undefined;
  readonly signal: AbortSignal;
  readonly open: (header: LayerHeader) => Promise<LayerTarget>;
}

async function buildFrom(
  batches: AsyncGenerator<SpecLine[], void, undefined>,
  { path, signal, open }: BuildRun,
): Promise<BuiltLayer> {
  const { parseHeader } = await import('../layer-spec.ts');
  let target: LayerTarget | undefined;
  try {
    for await (const batch of batches) {
      throwIfAborted(signal, path);
      for (const line of batch) {
        if (target === undefined) {
          target = await open(atLine(line, path, () => parseHeader(line.fields)));
          continue;
        }
        const put = target.put;
        const written = atLine(line, path, () => put(line));
        if (written !== undefined) await written;
      }
    }
    if (target === undefined) {
      throw new StorageError('invalid-input', { what: 'header line is missing', path });
    }
    return { ...(await target.writer.finish()), kind: target.kind };
  } catch (error) {
    // The first error is thrown. A temporary that cannot be removed now is removed later, as a leftover.
    await Promise.allSettled([target?.writer.abandon()]);
    throw error;
  }
}

interface BuiltLayer extends FinishedLayer {
  readonly kind: LayerHeader['kind'];
}

interface LayerTarget {
  readonly kind: LayerHeader['kind'];
  readonly writer: ImageLayerWriter | DeltaLayerWriter;
  readonly put: (line: SpecLine) => void | Promise<void>;
}

async function openTarget(
  header: LayerHeader,
  { context, options }: { context: Context; options: BuildOptions },
): Promise<LayerTarget> {
  const { parseDeltaEntry, parseImageEntry } = await import('../layer-spec.ts');
  const common = {
    directory: options.out,
    generation: options.generation,
    signal: context.signal,
    manifest: options.manifest,
    keyCheck: options.allowUnfitKeys === true ? ('ignore' as const) : undefined,
  };
  if (header.kind === 'image') {
    const { ImageLayerWriter } = await import('../../layers/image-layer/writer.ts');
    const { kind, ...summary } = header;
    const compression = compressionOf(options);
    const writer = await ImageLayerWriter.create({ ...summary, ...common, compression });
    return {
      kind,
      writer,
      put: ({ fields }) => {
        const { key, image } = parseImageEntry(fields);
        return writer.put(key, image);
      },
    };
  }
  const { DeltaLayerWriter } = await import('../../layers/delta-layer/writer.ts');
  const { kind, ...summary } = header;
  const writer = await DeltaLayerWriter.create({ ...summary, ...common });
  return {
    kind,
    writer,
    put: ({ fields }) => {
      const { key, lsn, value } = parseDeltaEntry(fields);
      return value.kind === 'raw'
        ? writer.putSerialized(key, lsn, value.bytes, value.willInit)
        : writer.put(key, lsn, value.value);
    },
  };
}

/** Adds the number of the line to an error about its content. */
function atLine<T>(line: SpecLine, path: string | undefined, use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (!isStorageError(error) || error.code !== 'invalid-input') throw error;
    throw new StorageError('invalid-input', {
      what: `line ${line.number}: ${error.message}`,
      path,
      cause: error,
    });
  }
}

/** Undefined unless the path is a regular file. A missing file is reported when it is read. */
function sizeOf(path: string): number | undefined {
  try {
    const stats = statSync(path);
    return stats.isFile() ? stats.size : undefined;
  } catch (error) {
    if (isNativeError(error)) return undefined;
    throw error;
  }
}

/** Streams the spec, which may be a FIFO. Throws `io`, `not-found`. */
async function* readSpec(
  context: Context,
  path: string | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    const stream = path === undefined ? context.stdin() : await openSpec(path);
    for await (const chunk of stream) yield chunk;
  } catch (error) {
    const { fromNodeError } = await import('../../virtual-file/system-error.ts');
    throw fromNodeError('read the spec', path ?? 'standard input', error);
  }
}

/**
 * Opens a FIFO without waiting for its writer, and as a socket, which waits for bytes without a
 * thread: a waiting thread could not be interrupted.
 */
async function openSpec(path: string): Promise<AsyncIterable<Uint8Array>> {
  if (!statSync(path).isFIFO()) return createReadStream(path, { highWaterMark: CHUNK_SIZE });
  const { Socket } = await import('node:net');
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}
