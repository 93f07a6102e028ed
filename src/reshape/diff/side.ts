/** All layers of one side of a comparison as one sequence: a heap of inputs by key and LSN. */
import { throwIfAborted } from '../../errors.ts';
import type { LayerName } from '../../layers/layer-name.ts';
import { contentKind } from './content.ts';
import { type ComparedLayer, DiffInput, type DiffReading, isInLayer } from './input.ts';

/** One side of a comparison. */
export interface ComparedLayers {
  /** All layers of a timeline, of all shards together, or one layer. Each key and LSN counts once. */
  readonly layers: Iterable<ComparedLayer>;
  /** Layers of the side that could not be opened: entries that may be in them do not count as missing. */
  readonly unopened?: Iterable<LayerName> | undefined;
}

/** Memory for the values of all inputs of a side together, in reads of at most 1 MiB. */
const BUFFER_MEMORY = 64 * 1024 * 1024;
const BUFFERS_OF_AN_INPUT = 4;
const LARGEST_PIECE = 1024 * 1024;
const SMALLEST_PIECE = 64 * 1024;

/** The inputs of a side. One user at a time. */
export class DiffSide {
  readonly #inputs: readonly DiffInput[];
  readonly #unopened: readonly LayerName[];
  readonly #signal: AbortSignal | undefined;
  /** A binary heap of the inputs that have not ended; the first one is the head. */
  readonly #heap: DiffInput[];
  #hasDamage = false;

  constructor({ layers, unopened = [] }: ComparedLayers, reading: Omit<DiffReading, 'pieceSize'>) {
    const readers = [...layers];
    const share = Math.floor(BUFFER_MEMORY / (BUFFERS_OF_AN_INPUT * Math.max(readers.length, 1)));
    const pieceSize = Math.min(Math.max(share, SMALLEST_PIECE), LARGEST_PIECE);
    const onDamage: DiffReading['onDamage'] = (error) => {
      this.#hasDamage = true;
      reading.onDamage(error);
    };
    this.#inputs = readers.map(
      (reader, index) => new DiffInput(reader, index, { ...reading, pieceSize, onDamage }),
    );
    this.#unopened = [...unopened];
    this.#signal = reading.signal;
    this.#heap = [...this.#inputs];
    for (let at = (this.#heap.length >>> 1) - 1; at >= 0; at -= 1) this.#sink(at);
  }

  /** The input with the next entry; undefined at the end. Requires: `reachHead` has resolved. */
  get head(): DiffInput | undefined {
    return this.#heap[0];
  }

  /** The input after the head; undefined if that is the only one. */
  get second(): DiffInput | undefined {
    const [, left, right] = this.#heap;
    if (left === undefined || right === undefined) return left;
    return this.#isBefore(left, right) ? left : right;
  }

  /** Loads the head if it has not been reached. Must be called once, before anything else. */
  async reachHead(): Promise<void> {
    for (;;) {
      const [head] = this.#heap;
      if (head === undefined || !head.isUnreached) return;
      await this.#load(head);
    }
  }

  /**
   * The input whose entry counts, among those at the key and LSN of the head: images before records, then in the order
   * of the layers. Returns a promise if the kind of a large value must be read first.
   */
  chosen(): DiffInput | undefined | Promise<DiffInput | undefined> {
    const ties = this.#ties();
    if (ties.length < 2) return ties[0];
    const kinds = ties.map(contentKind);
    const known = kinds.filter((kind) => typeof kind === 'string');
    if (known.length === kinds.length) return firstOf(ties, known);
    return Promise.all(kinds).then((all) => firstOf(ties, all));
  }

  /** Whether another input is at the key and LSN of the head. */
  get hasTies(): boolean {
    const [head] = this.#heap;
    return head !== undefined && this.second?.compare(head) === 0;
  }

  /** Advances past all entries at the key and LSN of the head. Returns a promise if more must be read. */
  passTies(): void | Promise<void> {
    const ties = this.#ties();
    if (ties.some(({ remaining }) => remaining === 1)) return this.#loadPast(ties);
    for (const input of ties) {
      input.skip(1);
      this.#sink(this.#heap.indexOf(input));
    }
    if (this.#heap[0]?.isUnreached === true) return this.reachHead();
  }

  /** Advances the head by N entries, all before that of the second input. Returns a promise if more must be read. */
  advance(rows: number): void | Promise<void> {
    const [head] = this.#heap;
    if (head === undefined) return;
    if (!head.skip(rows)) return this.#advanceHead(head);
    if (this.#heap.length === 1) return;
    this.#sink(0);
    if (this.#heap[0]?.isUnreached === true) return this.reachHead();
  }

  /** Whether an entry of the other side may be here, but unreadable. */
  mayHaveLost(entry: DiffInput): boolean {
    if (this.#unopened.some((layer) => isInLayer(layer, entry))) return true;
    return this.#hasDamage && this.#inputs.some((input) => input.mayHaveLost(entry));
  }

  /** Ends the scans. Idempotent. */
  async close(): Promise<void> {
    for (const input of this.#inputs) await input.close();
  }

  async #advanceHead(head: DiffInput): Promise<void> {
    await this.#load(head);
    await this.reachHead();
  }

  async #loadPast(ties: readonly DiffInput[]): Promise<void> {
    for (const input of ties) {
      if (input.skip(1)) this.#sink(this.#heap.indexOf(input));
      else await this.#load(input);
    }
    await this.reachHead();
  }

  async #load(input: DiffInput): Promise<void> {
    throwIfAborted(this.#signal);
    await input.load();
    const at = this.#heap.indexOf(input);
    if (!input.isEnded) {
      this.#sink(at);
      return;
    }
    const last = this.#heap.pop();
    if (last === undefined || last === input) return;
    this.#heap[at] = last;
    this.#sink(at);
    this.#rise(at);
  }

  /** The inputs at the key and LSN of the head, including it. */
  #ties(): DiffInput[] {
    const [head] = this.#heap;
    if (head === undefined) return [];
    const ties: DiffInput[] = [];
    const nodes = [0];
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
      const input = this.#heap[node];
      if (input === undefined || input.compare(head) !== 0) continue;
      ties.push(input);
      nodes.push(2 * node + 1, 2 * node + 2);
    }
    return ties;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    for (let at = from; ; ) {
      const left = 2 * at + 1;
      const one = heap[left];
      const other = heap[left + 1];
      if (one === undefined) return;
      const isRight = other !== undefined && this.#isBefore(other, one);
      const child = isRight ? left + 1 : left;
      if (!this.#swapIfBefore(child, at)) return;
      at = child;
    }
  }

  #rise(from: number): void {
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >>> 1;
      if (!this.#swapIfBefore(at, parent)) return;
      at = parent;
    }
  }

  #swapIfBefore(at: number, above: number): boolean {
    const heap = this.#heap;
    const [lower, upper] = [heap[at], heap[above]];
    if (lower === undefined || upper === undefined || !this.#isBefore(lower, upper)) return false;
    heap[at] = upper;
    heap[above] = lower;
    return true;
  }

  #isBefore(one: DiffInput, other: DiffInput): boolean {
    const order = one.compare(other);
    return order === 0 ? one.index < other.index : order < 0;
  }
}

/** The first image or, if there is none, the first record, in the order of the layers. */
function firstOf(
  ties: readonly DiffInput[],
  kinds: readonly ('image' | 'record')[],
): DiffInput | undefined {
  const images = ties.filter((_, at) => kinds[at] === 'image');
  const candidates = images.length > 0 ? images : ties;
  return candidates.reduce((first, input) => (input.index < first.index ? input : first));
}
