/**
 * The WAL records among blobs without keys, with what their bytes prove: which blocks they change and which of them
 * they initialize, where the preceding record starts, and how long they are. Parallel arrays, because there may be
 * millions.
 *
 * Only a record with a valid checksum counts, and only one whose blocks are the same for every version of
 * Postgres that can read it.
 */
import { isStorageError } from '../../errors.ts';
import { KEY_SIZE } from '../../layers/key.ts';
import type { LooseBlob } from '../../layers/layer-file/loose-blobs.ts';
import { WAL_HEADER_SIZE } from '../../layers/value-format.ts';
import { outlineOfValue } from '../../layers/value-outline.ts';
import { FORK_NAMES } from '../../postgres/fork.ts';
import { MAXIMUM_BLOCK_NUMBER, relationBlockKey } from '../../postgres/key-mapping.ts';
import { CRC_OFFSET } from '../../wal/record-checksum.ts';
import { checkRecord } from '../../wal/record-format.ts';
import { isInitialized, RecordScanner } from '../../wal/record-scanner.ts';

/** More than a layer of 256 MiB has; further ones are left out. A record takes about 60 bytes of memory. */
const MAXIMUM_RECORDS = 2 * 1024 * 1024;

/** Versions that differ in how a record stores the images of its blocks. */
const VERSIONS = [17, 14];

/** Whether a record initializes a block, as one bit each: two if the versions differ. */
const INIT = { no: 1, yes: 2 };

/** A block of a record. */
interface RecordBlock {
  readonly key: Uint8Array;
  /** Bits of `INIT`. */
  readonly inits: number;
}

/** LSNs are numbers here. */
const MAXIMUM_POSITION = Number.MAX_SAFE_INTEGER;

export class RecordCensus {
  count = 0;
  /** Where each blob starts in the file, ascending. */
  offsets = new Float64Array(1024);
  /** Start of the preceding record. */
  previous = new Float64Array(1024);
  /** Bytes of the record. */
  lengths = new Uint32Array(1024);
  checksums = new Uint32Array(1024);
  /** Number of the first key of each record's blocks; that of the next record is the end. */
  keyStarts = new Uint32Array(1025);
  /** Keys of 18 bytes, ascending within a record, each once. */
  keys = new Uint8Array(1024 * KEY_SIZE);
  /** For each key, what `will_init` can be, as bits of `INIT`. */
  inits = new Uint8Array(1024);
  /** What `will_init` of each blob is, as a bit of `INIT`. */
  claims = new Uint8Array(1024);
  readonly #scanners: readonly RecordScanner[];

  constructor(majorVersion: number | undefined) {
    const versions = majorVersion === undefined ? VERSIONS : [majorVersion];
    this.#scanners = versions.map((version) => new RecordScanner(version));
  }

  /** Counts the record in a blob of a delta layer. Returns: false if there is none that names a block. */
  add({ type, offset, bytes }: LooseBlob): boolean {
    if (type !== 'wal' || bytes === undefined || this.count === MAXIMUM_RECORDS) return false;
    const record = bytes.subarray(WAL_HEADER_SIZE);
    const blocks = this.#blocksOf(record);
    if (blocks === undefined || blocks.length === 0) return false;
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    const previous = view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32;
    if (previous > MAXIMUM_POSITION) return false;
    const at = this.count;
    if (at === this.offsets.length) this.#growRecords();
    this.offsets[at] = offset;
    this.previous[at] = previous;
    this.lengths[at] = record.length;
    this.checksums[at] = checksumIn(record);
    this.claims[at] = outlineOfValue(bytes).willInit ? INIT.yes : INIT.no;
    const first = this.keyStarts[at] as number;
    const end = first + blocks.length;
    if (end * KEY_SIZE > this.keys.length) this.#growKeys();
    for (const [index, { key, inits }] of blocks.entries()) {
      this.keys.set(key, (first + index) * KEY_SIZE);
      this.inits[first + index] = inits;
    }
    this.keyStarts[at + 1] = end;
    this.count += 1;
    return true;
  }

  /** Whether the blob is the one from which the record with this number was counted. */
  isIn(record: number, { offset, bytes }: LooseBlob): boolean {
    if (record >= this.count || this.offsets[record] !== offset || bytes === undefined)
      return false;
    const header = bytes.subarray(WAL_HEADER_SIZE);
    return header.length === this.lengths[record] && checksumIn(header) === this.checksums[record];
  }

  /** Number of blocks of a record. */
  keyCount(record: number): number {
    return (this.keyStarts[record + 1] as number) - (this.keyStarts[record] as number);
  }

  /** Key of a block of a record; a view. */
  key(record: number, index: number): Uint8Array {
    const at = ((this.keyStarts[record] as number) + index) * KEY_SIZE;
    return this.keys.subarray(at, at + KEY_SIZE);
  }

  /** Whether `will_init` of a blob is what the record says of a block: the checksum does not cover it. */
  initializes(record: number, index: number): boolean {
    const inits = this.inits[(this.keyStarts[record] as number) + index] as number;
    return (inits & (this.claims[record] as number)) !== 0;
  }

  /** Undefined unless all versions that can read the record find the same blocks in it. */
  #blocksOf(record: Uint8Array): RecordBlock[] | undefined {
    try {
      checkRecord(record);
    } catch (error) {
      if (isStorageError(error)) return undefined;
      throw error;
    }
    let found: RecordBlock[] | undefined;
    for (const scanner of this.#scanners) {
      const blocks = blocksBy(scanner, record);
      if (blocks === undefined) continue;
      found = found === undefined ? blocks : both(found, blocks);
      if (found === undefined) return undefined;
    }
    return found;
  }

  #growRecords(): void {
    const length = 2 * this.offsets.length;
    this.offsets = grown(this.offsets, new Float64Array(length));
    this.previous = grown(this.previous, new Float64Array(length));
    this.lengths = grown(this.lengths, new Uint32Array(length));
    this.checksums = grown(this.checksums, new Uint32Array(length));
    this.claims = grown(this.claims, new Uint8Array(length));
    this.keyStarts = grown(this.keyStarts, new Uint32Array(length + 1));
  }

  #growKeys(): void {
    this.keys = grown(this.keys, new Uint8Array(2 * this.keys.length));
    this.inits = grown(this.inits, new Uint8Array(2 * this.inits.length));
  }
}

function checksumIn({ buffer, byteOffset, length }: Uint8Array): number {
  return new DataView(buffer, byteOffset, length).getUint32(CRC_OFFSET, true);
}

/** Undefined if the record is not one of this version. */
function blocksBy(scanner: RecordScanner, record: Uint8Array): RecordBlock[] | undefined {
  try {
    scanner.scan(new DataView(record.buffer, record.byteOffset, record.length), 0, record.length);
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
  const blocks: RecordBlock[] = [];
  for (let block = 0; block < scanner.blockCount; block += 1) {
    const forkNumber = scanner.forkNumbers[block] as number;
    const blkno = scanner.blknos[block] as number;
    if (forkNumber >= FORK_NAMES.length || blkno > MAXIMUM_BLOCK_NUMBER) return undefined;
    const key = relationBlockKey({
      spcnode: scanner.spcnodes[block] as number,
      dbnode: scanner.dbnodes[block] as number,
      relnode: scanner.relnodes[block] as number,
      fork: FORK_NAMES[forkNumber] ?? forkNumber,
      blkno,
    });
    blocks.push({ key, inits: isInitialized(scanner, block) ? INIT.yes : INIT.no });
  }
  blocks.sort((one, other) => Buffer.compare(one.key, other.key));
  return blocks.filter(
    ({ key }, at) => at === 0 || Buffer.compare(key, blocks[at - 1]?.key ?? key) !== 0,
  );
}

/** The blocks that two versions find; undefined if they differ. */
function both(
  one: readonly RecordBlock[],
  other: readonly RecordBlock[],
): RecordBlock[] | undefined {
  if (one.length !== other.length) return undefined;
  const blocks: RecordBlock[] = [];
  for (const [at, { key, inits }] of one.entries()) {
    const same = other[at];
    if (same === undefined || Buffer.compare(key, same.key) !== 0) return undefined;
    blocks.push({ key, inits: inits | same.inits });
  }
  return blocks;
}

function grown<T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
