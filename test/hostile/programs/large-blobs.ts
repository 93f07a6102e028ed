/**
 * Writes layers of large blobs that take little room on the disk: their bytes are holes,
 * or repeated. Prints their paths as one line of JSON.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { deltaKey, layerBytes, nodeBlock } from '../../support/hand-made.ts';
import { blockKey, LSN_RANGE } from '../../support/layers.ts';

interface Input {
  readonly directory: string;
  readonly count: number;
  /** The length of a blob. */
  readonly mebibytes: number;
}

const BLOCK = 8192;
const ZSTD_BLOCK = 128 * 1024;

/** A frame with a window of 8 MiB. */
const FRAME_HEADER = Buffer.from('28b52ffd0068', 'hex');

/** Writes a blob at an offset; returns where it ends. */
type WriteBlob = (file: number, offset: number) => number;

const { directory, count, mebibytes }: Input = JSON.parse(process.argv[2] ?? '{}');
const ZSTD_BLOCKS = mebibytes * 8;
const LENGTH = ZSTD_BLOCKS * ZSTD_BLOCK;
const paths = [
  writeLayer('plain-image', 'image', (file, offset) => {
    write(file, offset, blobHeader(0x80, LENGTH));
    return offset + 4 + LENGTH;
  }),
  writeLayer('plain-delta', 'delta', (file, offset) => {
    const value = Buffer.alloc(17);
    value.writeUInt32BE(1);
    value.writeBigUInt64BE(BigInt(LENGTH - value.length), 9);
    write(file, offset, Buffer.concat([blobHeader(0x80, LENGTH), value]));
    return offset + 4 + LENGTH;
  }),
  writeLayer('zstd-image', 'image', (file, offset) => {
    const length = FRAME_HEADER.length + ZSTD_BLOCKS * (3 + ZSTD_BLOCK);
    write(file, offset, Buffer.concat([blobHeader(0x90, length), FRAME_HEADER]));
    for (let block = 0; block < ZSTD_BLOCKS; block += 1) {
      write(file, offset + 10 + block * (3 + ZSTD_BLOCK), blockHeader(0, block));
    }
    return offset + 4 + length;
  }),
  writeLayer('repeated-image', 'image', (file, offset) => {
    const blocks = Array.from({ length: ZSTD_BLOCKS }, (_, block) =>
      Buffer.concat([blockHeader(1, block), Buffer.of(7)]),
    );
    const frame = Buffer.concat([FRAME_HEADER, ...blocks]);
    write(file, offset, Buffer.concat([blobHeader(0x90, frame.length), frame]));
    return offset + 4 + frame.length;
  }),
];
process.stdout.write(`${JSON.stringify(paths)}\n`);

function writeLayer(name: string, kind: 'delta' | 'image', writeBlob: WriteBlob): string {
  const path = join(directory, name);
  const file = openSync(path, 'wx');
  const offsets: number[] = [];
  let offset = BLOCK;
  for (let index = 0; index < count; index += 1) {
    offsets.push(offset);
    offset = writeBlob(file, offset);
  }
  const indexStartBlock = Math.ceil(offset / BLOCK);
  const keys = offsets.map((_, index) =>
    kind === 'delta' ? deltaKey(blockKey(0), LSN_RANGE.start + BigInt(index)) : blockKey(index),
  );
  const values = offsets.map((at) => (kind === 'delta' ? at * 2 : at));
  const leaf = nodeBlock({ keys, values, prefixLength: kind === 'delta' ? 22 : 14 });
  const layer = layerBytes({ kind, blobs: [], blocks: [leaf], indexStartBlock });
  write(file, 0, layer.subarray(0, BLOCK));
  write(file, indexStartBlock * BLOCK, leaf);
  ftruncateSync(file, (indexStartBlock + 1) * BLOCK);
  closeSync(file);
  return path;
}

function write(file: number, offset: number, bytes: Uint8Array): void {
  writeSync(file, bytes, 0, bytes.length, offset);
}

function blobHeader(flags: number, length: number): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(length);
  header[0] = flags | (length >>> 24);
  return header;
}

/** Type 0 is raw, 1 repeated. */
function blockHeader(type: 0 | 1, block: number): Buffer {
  const header = Buffer.alloc(3);
  const last = block === ZSTD_BLOCKS - 1 ? 1 : 0;
  header.writeUIntLE((ZSTD_BLOCK << 3) | (type << 1) | last, 0, 3);
  return header;
}
