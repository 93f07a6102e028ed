/** `build`: a layer from NDJSON. */
import { constants, createReadStream, openSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { isNativeError } from 'node:util/types';
import { isStorageError, StorageError, throwIfAborted } from '../../errors.ts';
import { DeltaLayerWriter } from '../../layers/delta-layer/writer.ts';
import { ImageLayerWriter } from '../../layers/image-layer/writer.ts';
import type { FinishedLayer } from '../../layers/layer-file/layer-writer.ts';
import { fromNodeError } from '../../virtual-file/system-error.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus } from '../exit-status.ts';
import { type CompressionFlags, compressionOf, writeLayerLine } from '../layer-output.ts';
import { type LayerHeader, parseDeltaEntry, parseHeader, parseImageEntry } from '../layer-spec.ts';
import { readNdjson, type SpecLine } from '../ndjson-lines.ts';
import {
  checkOutputDirectory,
  refuseInputAsOutput,
  STANDARD_INPUT,
  STANDARD_OUTPUT,
} from '../output-paths.ts';

const CHUNK_SIZE = 256 * 1024;

export interface BuildOptions extends CompressionFlags {
  /** A file, or `-` for standard input. */
  readonly spec: string;
  readonly out: string;
  readonly generation?: string | undefined;
}

export async function build(context: Context, options: BuildOptions): Promise<ExitStatus> {
  const { signal, reporter } = context;
  const path = options.spec === '-' ? undefined : options.spec;
  await refuseInputAsOutput(path ?? STANDARD_INPUT, options.out);
  await refuseInputAsOutput(path ?? STANDARD_INPUT, STANDARD_OUTPUT);
  await checkOutputDirectory(options.out);
  if (path === undefined && context.stdinIsTerminal) {
    reporter.note('reading the layer from the terminal; Ctrl-D ends it');
  }
  const progress = reporter.progress({ label: 'build' });
  const total = path === undefined ? context.stdinSize : await sizeOf(path);
  const batches = readNdjson(readSpec(context, path), {
    path,
    signal,
    onProgress: (done) => progress.update({ done, total }),
  });
  try {
    const layer = await buildFrom(batches, { context, options, path });
    progress.finish();
    if (layer.kind === 'delta' && options.zstd !== undefined) {
      reporter.warning('--zstd is ignored: a delta layer is not compressed');
    }
    await writeLayerLine(context.stdout, layer);
    return CLEAN;
  } finally {
    progress.finish();
    await batches.return();
  }
}

async function buildFrom(
  batches: AsyncGenerator<SpecLine[], void, undefined>,
  run: { context: Context; options: BuildOptions; path: string | undefined },
): Promise<BuiltLayer> {
  const { context, options, path } = run;
  let target: LayerTarget | undefined;
  try {
    for await (const batch of batches) {
      throwIfAborted(context.signal, path);
      for (const line of batch) {
        if (target === undefined) {
          const header = atLine(line, path, () => parseHeader(line.fields));
          target = await openTarget(header, { context, options }).catch(async (error) => {
            // The layer may be there already because it is the spec.
            const taken = isStorageError(error, 'exists') ? error.path : undefined;
            if (taken !== undefined) await refuseInputAsOutput(path ?? STANDARD_INPUT, taken);
            throw error;
          });
          continue;
        }
        const put = target.put;
        const written = atLine(line, path, () => put(line));
        if (written !== undefined) await written;
      }
    }
    if (target === undefined) {
      throw new StorageError('invalid-input', { what: 'no header line', path });
    }
    return { ...(await target.writer.finish()), kind: target.kind };
  } catch (error) {
    // The first error counts. A temporary that cannot be removed is removed as a leftover.
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
  const common = {
    directory: options.out,
    generation: options.generation,
    signal: context.signal,
  };
  if (header.kind === 'image') {
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

/** Errors about what a line says name the line. */
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

/** Undefined for what is no file; that it is missing is found out when it is read. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const stats = await stat(path);
    return stats.isFile() ? stats.size : undefined;
  } catch (error) {
    if (isNativeError(error)) return undefined;
    throw error;
  }
}

/** A spec may come from a FIFO, so a file is read as a stream, too. Throws: `io`, `not-found`. */
async function* readSpec(
  context: Context,
  path: string | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    const stream = path === undefined ? context.stdin() : openSpec(path);
    for await (const chunk of stream) yield chunk;
  } catch (error) {
    throw fromNodeError('read the spec', path ?? 'standard input', error);
  }
}

/**
 * A FIFO is opened without waiting for its writer, and waits for bytes without a thread: a thread
 * that waits could not be interrupted.
 */
function openSpec(path: string): AsyncIterable<Uint8Array> {
  if (!statSync(path).isFIFO()) return createReadStream(path, { highWaterMark: CHUNK_SIZE });
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}
