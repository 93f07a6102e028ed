/**
 * Records as objects that create views of their block data on demand. Few descriptions need them, and creating a view
 * costs as much as formatting the reference to the block.
 */
import {
  type BlockImage,
  type BlockReference,
  recordWith,
  scannedImage,
  type WalRecord,
} from './record-format.ts';
import type { RecordScanner } from './record-scanner.ts';

/** As `scannedRecord`, but the views of `bytes` are created on demand. */
export function lazyRecord(bytes: Uint8Array, scanner: RecordScanner): WalRecord {
  return recordWith(bytes, scanner, lazyBlock);
}

function lazyBlock(bytes: Uint8Array, scanner: RecordScanner, block: number): BlockReference {
  return new LazyBlock(bytes, scanner, block);
}

class LazyBlock implements BlockReference {
  readonly id: number;
  readonly spcnode: number;
  readonly dbnode: number;
  readonly relnode: number;
  readonly forkNumber: number;
  readonly blkno: number;
  readonly willInit: boolean;
  readonly image: BlockImage | undefined;
  readonly #bytes: Uint8Array;
  readonly #offset: number;
  readonly #length: number;

  constructor(bytes: Uint8Array, scanner: RecordScanner, block: number) {
    this.id = scanner.ids[block] as number;
    this.spcnode = scanner.spcnodes[block] as number;
    this.dbnode = scanner.dbnodes[block] as number;
    this.relnode = scanner.relnodes[block] as number;
    this.forkNumber = scanner.forkNumbers[block] as number;
    this.blkno = scanner.blknos[block] as number;
    this.willInit = scanner.willInits[block] === 1;
    this.image = scanner.hasImages[block] === 1 ? scannedImage(bytes, scanner, block) : undefined;
    this.#bytes = bytes;
    this.#offset = scanner.dataOffsets[block] as number;
    this.#length = scanner.dataLengths[block] as number;
  }

  get data(): Uint8Array {
    return this.#bytes.subarray(this.#offset, this.#offset + this.#length);
  }
}
