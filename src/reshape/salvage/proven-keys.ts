/**
 * Which blob without a key belongs to which key and LSN, as far as it can be proven.
 *
 * A record is stored once for each of its blocks; the keys of a layer ascend with the file. So if there are
 * as many copies as blocks, each copy has its block. If there are fewer, a copy has the one block that fits
 * between the entries before and after it. What contradicts the order of the others is left out: of the
 * entries that are known in themselves, the longest ascending chain is kept.
 */
import { KEY_SIZE } from '../../layers/key.ts';
import { DELTA_KEY_SIZE, deltaEntryKey } from '../../layers/layer-file/entry-layout.ts';
import type { LsnRange } from '../../layers/lsn.ts';
import type { RecordCensus } from './record-census.ts';
import { type RecordCopies, recordLsns } from './record-lsns.ts';

/** Why a blob has no key; `proven` if it has one. */
export type KeyProof = 'proven' | 'lsn-unknown' | 'block-unknown' | 'out-of-order';

export class ProvenKeys {
  readonly #census: RecordCensus;
  /** 26 bytes for each record of the census. */
  readonly #entryKeys: Uint8Array;
  readonly #proofs: KeyProof[];

  constructor(census: RecordCensus, lsnRange: LsnRange | undefined) {
    this.#census = census;
    this.#entryKeys = new Uint8Array(census.count * DELTA_KEY_SIZE);
    this.#proofs = new Array<KeyProof>(census.count).fill('lsn-unknown');
    const ambiguous: RecordCopies[] = [];
    for (const copies of recordLsns(census, lsnRange)) {
      if (copies.lsn !== undefined && !this.#assign(copies, copies.lsn)) ambiguous.push(copies);
    }
    this.#keepChain();
    for (const copies of ambiguous) this.#assignBetween(copies);
    if (ambiguous.length > 0) this.#keepChain();
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
    this.#proofs[record] = 'proven';
  }

  /** Between the neighbours, copy by copy, so that no block is taken twice. */
  #assignBetween({ members, lsn = 0n }: RecordCopies): void {
    for (const member of members) {
      const low = this.#neighbour(member, -1);
      const high = this.#neighbour(member, 1);
      let found = -1;
      for (let block = 0; block < this.#census.keyCount(member); block += 1) {
        const entryKey = deltaEntryKey(this.#census.key(member, block), lsn);
        if (low !== undefined && Buffer.compare(low, entryKey) >= 0) continue;
        if (high !== undefined && Buffer.compare(entryKey, high) >= 0) continue;
        found = found < 0 ? block : Number.POSITIVE_INFINITY;
      }
      const isOne = found >= 0 && Number.isFinite(found);
      if (isOne) this.#set(member, found, lsn);
      else this.#proofs[member] = 'block-unknown';
    }
  }

  /** The next proven entry in the direction. */
  #neighbour(record: number, step: 1 | -1): Uint8Array | undefined {
    for (let at = record + step; at >= 0 && at < this.#census.count; at += step) {
      if (this.#proofs[at] === 'proven') return this.entryKey(at);
    }
    return undefined;
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

/** The key at the start of an entry key; a view. */
export function keyIn(entryKey: Uint8Array): Uint8Array {
  return entryKey.subarray(0, KEY_SIZE);
}
