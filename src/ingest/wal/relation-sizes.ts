/**
 * Sizes of the most recently used forks. Nearly every record needs one, so there is neither an object nor a string per
 * fork, but a table of arrays, in which a fork can be in one of 8 places.
 *
 * Forgetting a fork is safe, since its size was put and can be read again.
 */

/** The fork is not in the table. */
export const NOT_KNOWN = -1;
/** The fork does not exist. */
export const NO_FORK = -2;

/** Is notified of the sizes that are set or found; 0 blocks if there are none, or the size is not known. */
export interface SizeObserver {
  setFork(spcnode: number, dbnode: number, relnode: number, fork: number, blocks: number): void;
  forgetForks(): void;
}

const PLACES = 8;
const DEFAULT_CAPACITY = 65_536;

export class RelationSizes {
  readonly #groupMask: number;
  readonly #spcnodes: Uint32Array;
  readonly #dbnodes: Uint32Array;
  readonly #relnodes: Uint32Array;
  readonly #forks: Uint8Array;
  /** Blocks, or one of the two constants; `NOT_KNOWN` in a free place. */
  readonly #sizes: Float64Array;
  /** When it was last used. */
  readonly #times: Float64Array;
  #time = 0;
  /** Most records are about the same fork as the preceding one. */
  #last = 0;

  /** Is notified of each fork that is set or found. */
  readonly #observer: SizeObserver | undefined;

  /** `capacity`: a power of 2, at least 8. */
  constructor(capacity = DEFAULT_CAPACITY, observer?: SizeObserver) {
    this.#observer = observer;
    this.#groupMask = capacity / PLACES - 1;
    this.#spcnodes = new Uint32Array(capacity);
    this.#dbnodes = new Uint32Array(capacity);
    this.#relnodes = new Uint32Array(capacity);
    this.#forks = new Uint8Array(capacity);
    this.#sizes = new Float64Array(capacity).fill(NOT_KNOWN);
    this.#times = new Float64Array(capacity);
  }

  /** Blocks of a fork, `NO_FORK` or `NOT_KNOWN`. */
  get(spcnode: number, dbnode: number, relnode: number, fork: number): number {
    const last = this.#last;
    if (this.#isAt(last, spcnode, dbnode, relnode, fork)) return this.#notified(last);
    const start = this.#groupOf(dbnode, relnode, fork);
    for (let place = start; place < start + PLACES; place += 1) {
      if (!this.#isAt(place, spcnode, dbnode, relnode, fork)) continue;
      this.#use(place);
      return this.#notified(place);
    }
    return NOT_KNOWN;
  }

  /** Sets blocks or `NO_FORK`. May forget another fork. */
  set(spcnode: number, dbnode: number, relnode: number, fork: number, size: number): void {
    const place = this.#placeFor(spcnode, dbnode, relnode, fork);
    this.#spcnodes[place] = spcnode;
    this.#dbnodes[place] = dbnode;
    this.#relnodes[place] = relnode;
    this.#forks[place] = fork;
    this.#sizes[place] = size;
    this.#use(place);
    this.#notified(place);
  }

  /** Forgets all forks of a database. */
  forgetDatabase(spcnode: number, dbnode: number): void {
    this.#observer?.forgetForks();
    for (let place = 0; place < this.#sizes.length; place += 1) {
      if (this.#spcnodes[place] === spcnode && this.#dbnodes[place] === dbnode) {
        this.#sizes[place] = NOT_KNOWN;
      }
    }
  }

  /** Returns: the size in a place, of which the observer has been notified. */
  #notified(place: number): number {
    const size = this.#sizes[place] as number;
    this.#observer?.setFork(
      this.#spcnodes[place] as number,
      this.#dbnodes[place] as number,
      this.#relnodes[place] as number,
      this.#forks[place] as number,
      Math.max(0, size),
    );
    return size;
  }

  #isAt(place: number, spcnode: number, dbnode: number, relnode: number, fork: number): boolean {
    return (
      this.#relnodes[place] === relnode &&
      this.#forks[place] === fork &&
      this.#dbnodes[place] === dbnode &&
      this.#spcnodes[place] === spcnode
    );
  }

  #use(place: number): void {
    this.#time += 1;
    this.#times[place] = this.#time;
    this.#last = place;
  }

  /** Its own place, or the one whose fork was not used for the longest time. */
  #placeFor(spcnode: number, dbnode: number, relnode: number, fork: number): number {
    const start = this.#groupOf(dbnode, relnode, fork);
    let oldest = start;
    for (let place = start; place < start + PLACES; place += 1) {
      if (this.#isAt(place, spcnode, dbnode, relnode, fork)) return place;
      if ((this.#times[place] as number) < (this.#times[oldest] as number)) oldest = place;
    }
    return oldest;
  }

  /** First place of its group. The forks of a relation are in different groups. */
  #groupOf(dbnode: number, relnode: number, fork: number): number {
    let hash = Math.imul(relnode, 0x9e37_79b1) ^ Math.imul(dbnode + fork, 0x85eb_ca6b);
    hash ^= hash >>> 15;
    return (hash & this.#groupMask) * PLACES;
  }
}
