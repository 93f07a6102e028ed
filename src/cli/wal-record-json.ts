/** A WAL record in JSON, with the names that pg_walinspect has. */
import type { BlockReference, WalRecord } from '../wal/record-format.ts';
import type { Json } from './json.ts';

/** The first version in which pg_walinspect shows the flags of an image. */
const FIRST_WITH_IMAGE_INFO = 16;

/** The shown fields of the blocks. */
export interface BlockJsonOptions {
  readonly majorVersion: number;
  /** SHA-256 of the restored page by the block's place in the record; undefined for a block without an image. */
  readonly digests?: readonly (string | undefined)[] | undefined;
}

/** The blocks; lengths of images are as stored. */
export function blocksJson({ blocks }: WalRecord, options: BlockJsonOptions): Json[] {
  return blocks.map((block, index) => {
    const { spcnode, dbnode, relnode, image } = block;
    return {
      id: block.id,
      rel: `${spcnode}/${dbnode}/${relnode}`,
      fork: block.forkNumber,
      blk: block.blkno,
      data_len: block.data.length,
      fpi_len: image?.bytes.length ?? 0,
      fpi_sha256: options.digests?.[index],
      fpi_info: options.majorVersion < FIRST_WITH_IMAGE_INFO ? undefined : imageInfo(block),
    };
  });
}

function imageInfo({ image }: BlockReference): string[] | undefined {
  if (image === undefined) return undefined;
  const { holeLength, apply, compression } = image;
  const info: string[] = [];
  if (holeLength > 0) info.push('HAS_HOLE');
  if (apply) info.push('APPLY');
  if (compression !== 'none') info.push(`COMPRESS_${compression.toUpperCase()}`);
  return info;
}

/** Bytes of all page images as stored. */
export function imageBytesOf({ blocks }: WalRecord): number {
  return blocks.reduce((sum, { image }) => sum + (image?.bytes.length ?? 0), 0);
}
