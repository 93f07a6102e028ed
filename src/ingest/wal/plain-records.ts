/**
 * Records that change existing blocks and nothing else, as most do: their values are put without decoding more than
 * the headers, and without an object for anything.
 *
 * A record is plain if its transaction does not move the checkpoint, its kind does nothing beside its blocks, and all
 * of its blocks lie within forks whose sizes are known. A heap record is plain if its flags clear no bits of a
 * visibility map; the end of a transaction, if it has nothing but a time. What is not plain is left to `handlers.ts`
 * and `blocks.ts`, which hold for all records.
 */
import type { ViewedBytes } from '../../byte-words.ts';
import { KEY_SIZE } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { encodeValue, IMAGE_HEADER_SIZE } from '../../layers/value-format.ts';
import { PAGE_SIZE, setPageLsn } from '../../postgres/page.ts';
import type { RecordScanner } from '../../wal/record-scanner.ts';
import { KIND_COUNT, kindIndexOf, recordKinds } from '../../wal/resource-managers.ts';
import { isPageImageKind } from './blocks.ts';
import { handlersOf } from './handlers.ts';
import type { IngestState } from './ingest-state.ts';
import type { PutSink } from './put-sink.ts';
import { PlainEnds } from './transactions.ts';

/** Where the flags of a kind are, which of them ask for more, and the lengths of main data for which that holds. */
interface FlagsRule {
  readonly at: number;
  readonly mask: number;
  readonly minimumLength: number;
  readonly maximumLength?: number;
}

/** By manager and type. Where the dialects of 14 and 15 differ, only lengths of one of them are here. */
const FLAGS: Readonly<Record<string, FlagsRule>> = {
  'Heap/INSERT': { at: 2, mask: 1, minimumLength: 3, maximumLength: 3 },
  'Heap/UPDATE': { at: 7, mask: 3, minimumLength: 14 },
  'Heap/HOT_UPDATE': { at: 7, mask: 3, minimumLength: 14 },
  'Heap/DELETE': { at: 7, mask: 1, minimumLength: 8, maximumLength: 8 },
  'Heap/LOCK': { at: 7, mask: 1, minimumLength: 8, maximumLength: 8 },
  'Heap2/LOCK_UPDATED': { at: 7, mask: 1, minimumLength: 8, maximumLength: 8 },
  'Heap2/MULTI_INSERT': { at: 0, mask: 1, minimumLength: 4 },
};

/** Kinds whose flags a told dialect could contradict. */
const TOLD = ['Heap/DELETE', 'Heap/LOCK'];

const INIT_SUFFIX = '+INIT';
const COMMIT = 'Transaction/COMMIT';
const ABORT = 'Transaction/ABORT';
const HAS_XINFO = 0x80;
const TIME_SIZE = 8;

type Kind = 'plain' | 'committed' | 'aborted' | 'other' | FlagsRule;

function kindsOf(state: IngestState): readonly Kind[] {
  const handlers = handlersOf(state.majorVersion);
  const kinds: Kind[] = Array.from({ length: KIND_COUNT }, (_, index) =>
    handlers[index] === undefined ? 'plain' : 'other',
  );
  const isTold = state.majorVersion < 16 && state.dialect !== undefined;
  for (const { resourceManager, info, manager, type } of recordKinds(state.majorVersion)) {
    const name = `${manager}/${type.replace(INIT_SUFFIX, '')}`;
    const rule = isTold && TOLD.includes(name) ? undefined : FLAGS[name];
    const index = kindIndexOf(resourceManager, info);
    if (rule !== undefined) kinds[index] = rule;
    if (name === COMMIT && (info & HAS_XINFO) === 0) kinds[index] = 'committed';
    if (name === ABORT && (info & HAS_XINFO) === 0) kinds[index] = 'aborted';
  }
  return kinds;
}

/** Where a record lies in memory, and its end. */
export interface RecordPlace {
  readonly offset: number;
  readonly size: number;
  readonly lsn: Lsn;
}

export class PlainRecords {
  readonly #state: IngestState;
  readonly #sink: PutSink;
  readonly #kinds: readonly Kind[];
  /** Key of the block that is put; the sink copies it. */
  readonly #key = new Uint8Array(KEY_SIZE);
  readonly #keyView = new DataView(this.#key.buffer);
  /** The image that is put, and the page in it. */
  readonly #image = encodeValue({ type: 'image', bytes: new Uint8Array(PAGE_SIZE) });
  readonly #page = this.#image.subarray(IMAGE_HEADER_SIZE);
  readonly #ends = new PlainEnds();

  constructor(state: IngestState, sink: PutSink) {
    this.#state = state;
    this.#sink = sink;
    this.#kinds = kindsOf(state);
  }

  /**
   * Puts the values of a record that was scanned, if it is plain.
   *
   * Requires: `memory` is what was scanned, and the record lies at `offset`.
   * Returns: false if it is not plain; then nothing was put.
   */
  put(scanner: RecordScanner, memory: ViewedBytes, { offset, size, lsn }: RecordPlace): boolean {
    const { checkpoint, shard } = this.#state;
    if (shard.count >= 2) return false;
    if (scanner.xid !== 0 && !checkpoint.isAheadOf(scanner.xid)) return false;
    const kind = this.#kinds[kindIndexOf(scanner.resourceManager, scanner.info)] as Kind;
    if (kind === 'other') return false;
    if (kind === 'committed' || kind === 'aborted') return this.#putEnd(scanner, memory.view, kind);
    if (kind !== 'plain' && !hasPlainFlags(scanner, memory.view, kind)) return false;
    if (!this.#hasBlocks(scanner)) return false;
    if (scanner.blockCount === 0) return true;
    const record = memory.bytes.subarray(offset, offset + size);
    const isImages = isPageImageKind(scanner.resourceManager, scanner.info);
    for (let block = 0; block < scanner.blockCount; block += 1) {
      this.#setKey(scanner, block);
      if (isImages && isPlainImage(scanner, block))
        this.#putImage(scanner, block, memory.bytes, lsn);
      else this.#sink.putRecord(this.#key, lsn, willInit(scanner, block), record);
    }
    return true;
  }

  /** Whether all blocks lie within forks whose sizes are known. */
  #hasBlocks(scanner: RecordScanner): boolean {
    const { sizes } = this.#state;
    for (let block = 0; block < scanner.blockCount; block += 1) {
      const size = sizes.get(
        scanner.spcnodes[block] as number,
        scanner.dbnodes[block] as number,
        scanner.relnodes[block] as number,
        scanner.forkNumbers[block] as number,
      );
      if ((scanner.blknos[block] as number) >= size) return false;
    }
    return true;
  }

  #setKey(scanner: RecordScanner, block: number): void {
    const view = this.#keyView;
    view.setUint32(1, scanner.spcnodes[block] as number);
    view.setUint32(5, scanner.dbnodes[block] as number);
    view.setUint32(9, scanner.relnodes[block] as number);
    view.setUint8(13, scanner.forkNumbers[block] as number);
    view.setUint32(14, scanner.blknos[block] as number);
  }

  #putImage(scanner: RecordScanner, block: number, bytes: Uint8Array, lsn: Lsn): void {
    const start = scanner.imageOffsets[block] as number;
    const end = start + (scanner.imageLengths[block] as number);
    const holeOffset = scanner.holeOffsets[block] as number;
    const holeEnd = holeOffset + (scanner.holeLengths[block] as number);
    const page = this.#page;
    page.set(bytes.subarray(start, start + holeOffset));
    page.fill(0, holeOffset, holeEnd);
    page.set(bytes.subarray(start + holeOffset, end), holeEnd);
    setPageLsn(page, lsn);
    this.#sink.put(this.#key, lsn, true, this.#image);
  }

  #putEnd(scanner: RecordScanner, view: DataView, status: 'committed' | 'aborted'): boolean {
    const { mainDataLength, mainDataOffset, blockCount, origin, xid } = scanner;
    const isPlain = mainDataLength === TIME_SIZE && blockCount === 0 && !origin;
    if (!isPlain) return false;
    const place = { sink: this.#sink, lsn: this.#state.lsn };
    this.#ends.put(place, { xid, status, time: { view, offset: mainDataOffset } });
    return true;
  }
}

function hasPlainFlags(scanner: RecordScanner, view: DataView, rule: FlagsRule): boolean {
  const { mainDataLength, mainDataOffset } = scanner;
  if (mainDataLength < rule.minimumLength) return false;
  if (rule.maximumLength !== undefined && mainDataLength > rule.maximumLength) return false;
  return (view.getUint8(mainDataOffset + rule.at) & rule.mask) === 0;
}

/** Applied, and not compressed. */
function isPlainImage(scanner: RecordScanner, block: number): boolean {
  return (
    scanner.imageApplies[block] === 1 &&
    scanner.imageCompressions[block] === 0 &&
    (scanner.imageLengths[block] as number) > 0 &&
    scanner.hasImages[block] === 1
  );
}

function willInit(scanner: RecordScanner, block: number): boolean {
  return (
    scanner.willInits[block] === 1 ||
    (scanner.hasImages[block] === 1 && scanner.imageApplies[block] === 1)
  );
}
