/** Copies the layers of a timeline into another place, one after the other, in pieces of bounded size. */
import type { ByteSource } from '../../blob-writer/byte-source.ts';
import { readExactly } from '../../blob-writer/byte-source.ts';
import { StorageError, throwIfAborted } from '../../errors.ts';
import { pathOrSource } from '../../layers/layer-file/layer-input.ts';
import { piecesOf } from '../../object-store/put-file.ts';
import type { LayerPlace } from '../../timeline/layer-files.ts';
import { absolutePath, pathIn } from '../../virtual-file/absolute-path.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';
import { VirtualFile } from '../../virtual-file/virtual-file.ts';
import type { TimelineOutput } from '../output/timeline-output.ts';

const PIECE_LENGTH = 4 * 1024 * 1024;

/** Options of `copyLayers`. */
export interface CopyLayersOptions {
  readonly signal?: AbortSignal | undefined;
  /** For the copies. Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /** Called with the bytes that were copied since the last call. */
  readonly onBytes?: ((length: number) => void) | undefined;
}

/**
 * Stores copies of the layers in an output, in its generation.
 *
 * Durability: as `TimelineOutput.putLayer`.
 * Throws: `corrupt` for a layer of another size than the index says; as `putLayer`, and what reading throws.
 */
export async function copyLayers(
  layers: ReadonlyMap<string, LayerPlace>,
  output: TimelineOutput,
  options: CopyLayersOptions = {},
): Promise<void> {
  for (const [name, place] of layers) {
    throwIfAborted(options.signal);
    const path = pathIn(output.stagingDirectory, name);
    await copyFile(place, path, options);
    await output.putLayer({ path });
  }
}

async function copyFile(
  place: LayerPlace,
  path: string,
  { signal, openFiles, onBytes }: CopyLayersOptions,
): Promise<void> {
  const source = pathOrSource(await place.input(signal));
  const pieces =
    typeof source === 'string'
      ? piecesOf(absolutePath(source), { signal })
      : piecesOfSource(source, signal);
  const options = { write: true, create: true, truncate: true, openFiles, signal };
  const file = await VirtualFile.open(path, options);
  let length = 0;
  try {
    for await (const piece of pieces) {
      await file.writeAllAt(piece, length);
      length += piece.length;
      onBytes?.(piece.length);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  if (place.size === undefined || BigInt(length) === BigInt(place.size)) return;
  throw new StorageError('corrupt', {
    what: 'size of the layer',
    path: place.path,
    expected: `${place.size} bytes, as the index says`,
    actual: `${length}`,
  });
}

async function* piecesOfSource(
  source: ByteSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const buffer = new Uint8Array(Math.min(PIECE_LENGTH, source.size));
  for (let offset = 0; offset < source.size; offset += buffer.length) {
    throwIfAborted(signal, source.path);
    const piece = buffer.subarray(0, Math.min(buffer.length, source.size - offset));
    await readExactly(source, piece, offset);
    yield piece;
  }
}
