/**
 * Which blob without a key belongs to which key and LSN, as far as it can be proven.
 *
 * A record is stored once for each of its blocks; the keys of a layer ascend with the file. So if there are
 * as many copies as blocks, each copy has its block. If there are fewer, as in the layer of a shard, the copies
 * between two known entries have the blocks that fit between them, if their numbers match. Entries that
 * contradict the order of the others are left out: the longest ascending chain of known entries is kept.
 */
import { KEY_SIZE } from '../../layers/key.ts';
import { DELTA_KEY_SIZE, deltaEntryKey } from '../../layers/layer-file/entry-layout.ts';
import type { RecordCensus } from './record-census.ts';
import { type PlacedRange, type RecordCopies, recordLsns } from './record-lsns.ts';

/** Why a blob has no key; `proven` if it has one. */
export type KeyProof = 'proven' | 'lsn-unknown' | 'block-unknown' | 'init-differs' | 'out-of-order';

/** Maximum number of passes, each of which places copies between entries that earlier passes placed. */
const MAXIMUM_PASSES = 8;

export class ProvenKeys {
  readonly #census: RecordCensus;
  /** 26 bytes for each record of the census. */
  readonly #entryKeys: Uint8Array;
  readonly #proofs: KeyProof[];

  constructor(census: RecordCensus, range: PlacedRange | undefined) {
    this.#census = census;
    this.#entryKeys = new Uint8Array(census.count * DELTA_KEY_SIZE);
    this.#proofs = new Array<KeyProof>(census.count).fill('lsn-unknown');
    let ambiguous: RecordCopies[] = [];
    for (const copies of recordLsns(census, range)) {
      if (copies.lsn !== undefined && !this.#assign(copies, copies.lsn)) ambiguous.push(copies);
    }
    this.#keepChain();
    for (let pass = 0; pass < MAXIMUM_PASSES && ambiguous.length > 0; pass += 1) {
      const left = this.#assignBetween(ambiguous);
      if (left.length === ambiguous.length) break;
      this.#keepChain();
      ambiguous = left;
    }
  }

  proof(record: number): KeyProof {
    return this.#proofs[record] as KeyProof;
  }

  /** Key and LSN of a record whose proof is `proven`; a view. */
  entryKey(record: number): Uint8Array {
    return this.#entryKeys.subarray(record * DELTA_KEY_SIZE, (record + 1) * DELTA_KEY_SIZE);
  }

  /** True unless there are fewer copies than blocks, so that several blocks are possible. */
  #assign({ members }: RecordCopies, lsn: bigint): boolean {
    const [first = 0] = members;
    const blocks = this.#census.keyCount(first);
    if (members.length > blocks) {
      for (const member of members) this.#proofs[member] = 'block-unknown';
      return true;
    }
    if (members.length < blocks) return false;
    for (const [index, member] of members.entries()) this.#set(member, index, lsn);
    return true;
  }

  #set(record: number, block: number, lsn: bigint): void {
    this.entryKey(record).set(deltaEntryKey(this.#census.key(record, block), lsn));
    this.#proofs[record] = this.#census.initializes(record, block) ? 'proven' : 'init-differs';
  }

  /** Returns: those with a copy whose block is still unknown. */
  #assignBetween(ambiguous: readonly RecordCopies[]): RecordCopies[] {
    const neighbours = this.#provenNeighbours();
    return ambiguous.filter(({ members, lsn = 0n }) => {
      let isLeft = false;
      for (let from = 0; from < members.length; ) {
        const gap = neighbours.before[members[from] as number];
        let to = from + 1;
        while (to < members.length && neighbours.before[members[to] as number] === gap) to += 1;
        const copies = members.slice(from, to);
        if (!this.#assignInGap(copies, lsn, neighbours)) isLeft = true;
        from = to;
      }
      return isLeft;
    });
  }

  /** Assigns copies between the same two proven entries. Returns: whether their blocks are proven. */
  #assignInGap(copies: readonly number[], lsn: bigint, { before, after }: Neighbours): boolean {
    const [first = 0] = copies;
    if (this.#proofs[first] === 'proven') return true;
    const low = before[first] as number;
    const high = after[first] as number;
    const fitting: number[] = [];
    for (let block = 0; block < this.#census.keyCount(first); block += 1) {
      const entryKey = deltaEntryKey(this.#census.key(first, block), lsn);
      if (low >= 0 && Buffer.compare(this.entryKey(low), entryKey) >= 0) continue;
      if (high >= 0 && Buffer.compare(entryKey, this.entryKey(high)) >= 0) continue;
      fitting.push(block);
    }
    const isSure = fitting.length === copies.length;
    for (const [index, copy] of copies.entries()) {
      if (isSure) this.#set(copy, fitting[index] as number, lsn);
      else this.#proofs[copy] = 'block-unknown';
    }
    return isSure;
  }

  #provenNeighbours(): Neighbours {
    const { count } = this.#census;
    const before = new Int32Array(count);
    const after = new Int32Array(count);
    for (let record = 0, last = -1; record < count; record += 1) {
      before[record] = last;
      if (this.#proofs[record] === 'proven') last = record;
    }
    for (let record = count - 1, last = -1; record >= 0; record -= 1) {
      after[record] = last;
      if (this.#proofs[record] === 'proven') last = record;
    }
    return { before, after };
  }

  /** Leaves out the fewest entries, so that the others ascend. */
  #keepChain(): void {
    const { count } = this.#census;
    /** By length of a chain, minus one: the record at which a chain ends lowest. */
    const ends = new Int32Array(count);
    const before = new Int32Array(count).fill(-1);
    let longest = 0;
    for (let record = 0; record < count; record += 1) {
      if (this.#proofs[record] !== 'proven') continue;
      const length = this.#chainsBelow(record, ends, longest);
      if (length > 0) before[record] = ends[length - 1] as number;
      ends[length] = record;
      if (length === longest) longest += 1;
    }
    const kept = new Uint8Array(count);
    let at = longest === 0 ? -1 : (ends[longest - 1] as number);
    for (; at >= 0; at = before[at] as number) kept[at] = 1;
    for (let record = 0; record < count; record += 1) {
      if (this.#proofs[record] === 'proven' && kept[record] === 0) {
        this.#proofs[record] = 'out-of-order';
      }
    }
  }

  /** Number of chains that end below the record. */
  #chainsBelow(record: number, ends: Int32Array, count: number): number {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(ends[middle] as number, record) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compare(one: number, other: number): number {
    const keys = this.#entryKeys;
    const [left, right] = [one * DELTA_KEY_SIZE, other * DELTA_KEY_SIZE];
    for (let byte = 0; byte < DELTA_KEY_SIZE; byte += 1) {
      const difference = (keys[left + byte] as number) - (keys[right + byte] as number);
      if (difference !== 0) return difference;
    }
    return 0;
  }
}

/** For each record, the next proven one on either side; -1 if there is none. */
interface Neighbours {
  readonly before: Int32Array;
  readonly after: Int32Array;
}

/** The key at the start of an entry key; a view. */
export function keyIn(entryKey: Uint8Array): Uint8Array {
  return entryKey.subarray(0, KEY_SIZE);
}
