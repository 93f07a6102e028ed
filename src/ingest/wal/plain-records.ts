/**
 * Records that only change existing blocks, as most do: their values are put without decoding more than the headers,
 * and without creating objects.
 *
 * A record is plain if its transaction does not move the checkpoint, its kind has no effect beyond its blocks, and all
 * of its blocks lie within forks whose sizes are known. A heap record may clear bits of a visibility map, if its kind
 * determines them unambiguously and the size of the map is known; the end of a transaction is plain if it has only a
 * time. All other records are left to `handlers.ts` and `blocks.ts`, which handle any record.
 */
import { ViewedBytes } from '../../byte-words.ts';
import { KEY_SIZE } from '../../layers/key.ts';
import { encodeValue, IMAGE_HEADER_SIZE } from '../../layers/value-format.ts';
import { PAGE_SIZE, setPageLsn } from '../../postgres/page.ts';
import type { WalRecordBatch } from '../../wal/record-batch.ts';
import { isInitialized, type RecordScanner } from '../../wal/record-scanner.ts';
import { KIND_COUNT, kindIndexOf, recordKinds } from '../../wal/resource-managers.ts';
import { isPageImageKind } from './blocks.ts';
import { XID_INTERVAL } from './checkpoint-value.ts';
import { handlersOf } from './handlers.ts';
import type { IngestState } from './ingest-state.ts';
import type { PlainKernel } from './plain-kernel.ts';
import { NO_FORK, NOT_KNOWN } from './relation-sizes.ts';
import type { RowSink } from './row-sink.ts';
import { PlainEnds } from './transactions.ts';
import {
  ALL_BITS,
  ALL_FROZEN,
  type ClearedBits,
  MAP_FORK,
  putClearedBits,
} from './visibility-map.ts';

/** Where the flags of a kind are, which of them require more work, and for which lengths of main data this holds. */
interface FlagsRule {
  readonly at: number;
  readonly mask: number;
  readonly minimumLength: number;
  readonly maximumLength?: number;
  /** The bits that the flags clear if the main data has the minimum length and no old tuple: see `heap.ts`. */
  readonly clears?: 'new' | 'frozen' | 'both';
  /** Flags that announce an old tuple. */
  readonly oldTuple?: number;
}

/** By manager and type. Where the dialects of 14 and 15 differ, only lengths of one of them are here. */
const FLAGS: Readonly<Record<string, FlagsRule>> = {
  'Heap/INSERT': { at: 2, mask: 1, minimumLength: 3, maximumLength: 3, clears: 'new' },
  'Heap/UPDATE': { at: 7, mask: 3, minimumLength: 14, clears: 'both', oldTuple: 0x0c },
  'Heap/HOT_UPDATE': { at: 7, mask: 3, minimumLength: 14, clears: 'both', oldTuple: 0x0c },
  'Heap/DELETE': {
    ...{ at: 7, mask: 1, minimumLength: 8, maximumLength: 8 },
    ...{ clears: 'new', oldTuple: 0x06 },
  },
  'Heap/LOCK': { at: 7, mask: 1, minimumLength: 8, maximumLength: 8, clears: 'frozen' },
  'Heap2/LOCK_UPDATED': { at: 7, mask: 1, minimumLength: 8, maximumLength: 8, clears: 'frozen' },
  'Heap2/MULTI_INSERT': { at: 0, mask: 1, minimumLength: 4 },
};

/** Of an update: bits of its old page, and of its new one. */
const OLD_PAGE_CLEARED = 1;
const NEW_PAGE_CLEARED = 2;

/** Kinds that a given dialect could contradict: by their flags, and where they clear bits. */
const TOLD = ['Heap/DELETE', 'Heap/LOCK'];
const TOLD_IF_CLEARING = ['Heap/UPDATE', 'Heap/HOT_UPDATE'];

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
    const rule = ruleOf(name, isTold);
    const index = kindIndexOf(resourceManager, info);
    if (rule !== undefined) kinds[index] = rule;
    if (name === COMMIT && (info & HAS_XINFO) === 0) kinds[index] = 'committed';
    if (name === ABORT && (info & HAS_XINFO) === 0) kinds[index] = 'aborted';
  }
  return kinds;
}

function ruleOf(name: string, isTold: boolean): FlagsRule | undefined {
  const rule = FLAGS[name];
  if (rule === undefined || !isTold) return rule;
  if (TOLD.includes(name)) return undefined;
  if (!TOLD_IF_CLEARING.includes(name)) return rule;
  const { clears: _, ...rest } = rule;
  return rest;
}

export class PlainRecords {
  readonly #state: IngestState;
  readonly #sink: RowSink;
  readonly #kinds: readonly Kind[];
  /** Key of the block that is put; the sink copies it. */
  readonly #key = new ViewedBytes(new Uint8Array(KEY_SIZE));
  /** The image that is put, and the page in it. */
  readonly #image = new ViewedBytes(
    encodeValue({ type: 'image', bytes: new Uint8Array(PAGE_SIZE) }),
  );
  readonly #page = this.#image.bytes.subarray(IMAGE_HEADER_SIZE);
  readonly #ends = new PlainEnds();

  constructor(state: IngestState, sink: RowSink) {
    this.#state = state;
    this.#sink = sink;
    this.#kinds = kindsOf(state);
    const { kernel } = state;
    if (kernel !== undefined) setKinds(kernel, this.#kinds);
  }

  /**
   * Puts the values of records from one on, as long as they are plain, by the kernel.
   *
   * Requires: `to` and `size` as in `RunLimits`. Returns: number of the first record that was left, which may be a
   * plain one that the kernel cannot put.
   */
  putRun(batch: WalRecordBatch, from: number, to: number, size: number): number {
    const { kernel, checkpoint } = this.#state;
    const target = this.#sink.kernelBatch;
    if (kernel === undefined || target === undefined) return from;
    const xid = checkpoint.nextXid & -XID_INTERVAL;
    // The last transactions of an epoch are ahead of the first ones.
    return xid === 0 ? from : kernel.put(batch, from, target, { to, size, xid });
  }

  /**
   * Puts the values of a record that was scanned, if it is plain.
   *
   * Requires: `memory` is what was scanned, the record is at `offset`, and the sink has its end LSN.
   * Returns: false if it is not plain; then nothing was put.
   */
  put(scanner: RecordScanner, memory: ViewedBytes, offset: number, size: number): boolean {
    const { checkpoint, shard } = this.#state;
    if (shard.count >= 2) return false;
    if (scanner.xid !== 0 && !checkpoint.isAheadOf(scanner.xid)) return false;
    const kind = this.#kinds[kindIndexOf(scanner.resourceManager, scanner.info)] as Kind;
    if (kind === 'other') return false;
    if (kind === 'committed' || kind === 'aborted') return this.#putEnd(scanner, memory.view, kind);
    const flags = kind === 'plain' ? NONE : flagsOf(scanner, memory.view, kind);
    if (flags === NOT_PLAIN || !this.#hasBlocks(scanner)) return false;
    if (flags !== NONE && !this.#clearBits(scanner, kind as FlagsRule, flags)) return false;
    const isImages = isPageImageKind(scanner.resourceManager, scanner.info);
    for (let block = 0; block < scanner.blockCount; block += 1) {
      this.#setKey(scanner, block);
      if (isImages && isPlainImage(scanner, block)) this.#putImage(scanner, block, memory.bytes);
      else this.#sink.putRecordRow(this.#key, isInitialized(scanner, block), memory, offset, size);
    }
    return true;
  }

  /** Puts the values that clear bits of the visibility map. Returns: false if they are not known. */
  #clearBits(scanner: RecordScanner, { clears }: FlagsRule, flags: number): boolean {
    const { blockCount, spcnodes, dbnodes, relnodes, blknos } = scanner;
    if (blockCount === 0) return false;
    const [spcnode, dbnode, relnode] = [spcnodes[0], dbnodes[0], relnodes[0]] as RelationNumbers;
    const size = this.#state.sizes.get(spcnode, dbnode, relnode, MAP_FORK);
    if (size === NOT_KNOWN) return false;
    if (size === NO_FORK) return true;
    const first = blknos[0] as number;
    let bits: ClearedBits;
    if (clears === 'new') bits = { newHeapBlock: first, oldHeapBlock: null, flags: ALL_BITS };
    else if (clears === 'frozen') {
      bits = { newHeapBlock: null, oldHeapBlock: first, flags: ALL_FROZEN };
    } else {
      bits = {
        newHeapBlock: (flags & NEW_PAGE_CLEARED) === 0 ? null : first,
        oldHeapBlock: (flags & OLD_PAGE_CLEARED) === 0 ? null : (blknos[blockCount - 1] as number),
        flags: ALL_BITS,
      };
    }
    putClearedBits(this.#state, { spcnode, dbnode, relnode }, size, bits);
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
    const { view } = this.#key;
    view.setUint32(1, scanner.spcnodes[block] as number);
    view.setUint32(5, scanner.dbnodes[block] as number);
    view.setUint32(9, scanner.relnodes[block] as number);
    view.setUint8(13, scanner.forkNumbers[block] as number);
    view.setUint32(14, scanner.blknos[block] as number);
  }

  #putImage(scanner: RecordScanner, block: number, bytes: Uint8Array): void {
    const start = scanner.imageOffsets[block] as number;
    const end = start + (scanner.imageLengths[block] as number);
    const holeOffset = scanner.holeOffsets[block] as number;
    const holeEnd = holeOffset + (scanner.holeLengths[block] as number);
    const page = this.#page;
    page.set(bytes.subarray(start, start + holeOffset));
    page.fill(0, holeOffset, holeEnd);
    page.set(bytes.subarray(start + holeOffset, end), holeEnd);
    setPageLsn(page, this.#state.lsn);
    this.#sink.putRow(this.#key, true, this.#image);
  }

  #putEnd(scanner: RecordScanner, view: DataView, status: 'committed' | 'aborted'): boolean {
    const { mainDataLength, mainDataOffset, blockCount, origin, xid } = scanner;
    const isPlain = mainDataLength === TIME_SIZE && blockCount === 0 && !origin;
    if (!isPlain) return false;
    this.#ends.put(this.#sink, xid, status, view, mainDataOffset);
    this.#state.kernel?.setLogPage(this.#ends.page, this.#ends.key.bytes);
    return true;
  }
}

function setKinds(kernel: PlainKernel, kinds: readonly Kind[]): void {
  for (const [index, kind] of kinds.entries()) {
    const isImage = isPageImageKind(index >>> 4, (index & 0x0f) << 4);
    if (kind === 'other' || isImage) continue;
    if (typeof kind === 'string') kernel.setKind(index, { kind });
    else kernel.setKind(index, { maximumLength: 0xff, ...kind, kind: 'flagged' });
  }
}

type RelationNumbers = [spcnode: number, dbnode: number, relnode: number];

/** No flag of the rule is set. */
const NONE = 0;
const NOT_PLAIN = -1;

/** The flags of the rule that are set, or `NOT_PLAIN`. */
function flagsOf(scanner: RecordScanner, view: DataView, rule: FlagsRule): number {
  const { mainDataLength, mainDataOffset } = scanner;
  const { minimumLength, maximumLength, clears, oldTuple = 0 } = rule;
  if (mainDataLength < minimumLength) return NOT_PLAIN;
  if (maximumLength !== undefined && mainDataLength > maximumLength) return NOT_PLAIN;
  const all = view.getUint8(mainDataOffset + rule.at);
  const flags = all & rule.mask;
  if (flags === NONE) return NONE;
  const isOneWay = mainDataLength === minimumLength && (all & oldTuple) === 0;
  return clears !== undefined && isOneWay ? flags : NOT_PLAIN;
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
