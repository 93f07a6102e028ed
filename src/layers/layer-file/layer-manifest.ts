/**
 * The manifest of a layer that is being written.
 *
 * The checksums of the blocks are computed from the bytes that are written. The SHA-256 begins with the first block,
 * which is written last: so the complete file is read again, from the system's cache and during its sync, and compared
 * with the checksums. The sidecar is complete before the layer takes its name, and takes its own name after that: a
 * crash may leave a layer without a sidecar, never a sidecar without its layer.
 */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { assert } from '../../assert.ts';
import { fileSource } from '../../blob-writer/byte-source.ts';
import { corrupt } from '../../errors.ts';
import { BlockSums } from '../../manifest/block-sums.ts';
import { formatChecksum, formatManifestName } from '../../manifest/manifest-format.ts';
import { piecesOf } from '../../manifest/pieces.ts';
import { prepareManifest } from '../../manifest/sidecar.ts';
import { pathIn } from '../../virtual-file/absolute-path.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { publishNew, refuseExisting } from '../../virtual-file/durable-rename.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';
import type { TemporaryFile } from '../../virtual-file/temporary-file.ts';

/** A file by its names: as the caller gave the directory, and from the root. */
interface NamedFile {
  readonly name: string;
  readonly path: string;
  readonly target: string;
}

/** The sidecar of a file in the same directory. */
function manifestOf({ name, path, target }: NamedFile): NamedFile {
  const manifest = formatManifestName(name);
  const directory = path.slice(0, path.length - name.length);
  return { name: manifest, path: directory + manifest, target: pathIn(dirname(target), manifest) };
}

/** Throws `exists` if there already is a sidecar. */
export async function refuseManifest(openFiles: OpenFiles, layer: NamedFile): Promise<void> {
  await refuseExisting(openFiles, manifestOf(layer));
}

export class LayerManifest {
  /** Block 0 is written last. */
  readonly #sums = new BlockSums(1);
  #sidecar: TemporaryFile | undefined;

  /** Adds the bytes written at `offset`: in order, and finally the head of the file. */
  add(bytes: Uint8Array, offset: number): void {
    if (offset === 0) {
      this.#sums.setHead(bytes);
      return;
    }
    assert(offset === this.#sums.offset, 'what is written follows what was written before');
    this.#sums.add(bytes);
  }

  /**
   * Writes the sidecar of a complete file under a temporary name. Throws `corrupt` if the file is not what was
   * written; `exists`, `io`, `sync-failed`, `aborted`.
   */
  async prepare(
    { file }: TemporaryFile,
    layer: NamedFile,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { openFiles } = file;
    await refuseManifest(openFiles, layer);
    const checksums = this.#sums.finish();
    const [reading, syncing] = await Promise.allSettled([
      digestOf(file, checksums, signal),
      file.sync(),
    ]);
    if (syncing.status === 'rejected') throw syncing.reason;
    if (reading.status === 'rejected') throw reading.reason;
    const manifest = { name: layer.name, checksums, ...reading.value };
    this.#sidecar = await prepareManifest(manifestOf(layer).target, manifest, {
      openFiles,
      signal,
    });
  }

  /**
   * Gives the sidecar its name, and makes it durable. Requires: `prepare` has resolved, and the layer is durable.
   * Throws: as `publishNew`; the path is that of the sidecar.
   */
  async publish(layer: NamedFile): Promise<string> {
    const sidecar = this.#sidecar;
    assert(sidecar !== undefined, 'the sidecar is prepared');
    const { path, target } = manifestOf(layer);
    try {
      await publishNew(sidecar, target);
    } finally {
      await this.abandon();
    }
    return path;
  }

  /** Removes the sidecar if it has no final name yet. Idempotent. */
  async abandon(): Promise<void> {
    await this.#sidecar?.abandon();
  }
}

async function digestOf(
  file: TemporaryFile['file'],
  checksums: Uint32Array,
  signal: AbortSignal | undefined,
): Promise<{ readonly sha256: string; readonly length: number }> {
  const source = await fileSource(file);
  const hash = createHash('sha256');
  const sums = new BlockSums();
  for await (const piece of piecesOf(source, source.size, signal)) {
    hash.update(piece);
    sums.add(piece);
  }
  const actual = sums.finish();
  const block = checksums.findIndex((checksum, index) => checksum !== actual[index]);
  if (block < 0 && actual.length === checksums.length) {
    return { sha256: hash.digest('hex'), length: source.size };
  }
  const [expected, found] = [checksums, actual].map((sum) => formatChecksum(sum[block] ?? 0));
  const what = `block ${block} differs from what was written: CRC-32C`;
  throw corrupt(what, block * BLOCK_SIZE, `${expected}`, `${found}`);
}
