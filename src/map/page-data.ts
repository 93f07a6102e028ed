/**
 * What a page knows about its layers: a description in JSON, and columns in one buffer.
 *
 *   key borders      18 bytes each     ascending; a layer names its keys by the ranks of borders
 *   LSN borders      2 x u32 each      high and low half, ascending
 *   first, end key   u32 a layer       rank of the border
 *   first, end LSN   u32 a layer       rank of the border; an image ends one above its LSN
 *   size             2 x u32 a layer   low and high half
 *   generation       u32 a layer
 *   shard            u16 a layer       number and count, a byte each
 *   facts            u8 a layer        bits 0-1 the level; 2 has a size; 3 has a generation; 4 is the same
 *                                      object as the layer before it, which another shard reads
 *
 * and for each snapshot
 *
 *   members          1 bit a layer     whether it is in the snapshot
 *   visible          1 bit a layer     whether a read can reach it
 *   holes            2 x u32 each      ranks of the first and the end key
 *
 * Each column begins at a multiple of 8; all numbers are little-endian, like those of every processor
 * that has a browser. 100,000 layers take about 6 MB, and a third of it once they are compressed.
 *
 * One key, LSN and level make one layer. If its size or generation differs between snapshots, it is two.
 */
import { KEY_SIZE } from '../layers/key.ts';

/** The levels of layers by their numbers. */
export const LEVELS = ['L1', 'L0', 'image'] as const;
/** How a layer is drawn and named. */
export type Level = (typeof LEVELS)[number];

const LEVEL_BITS = 0b11;
const HAS_SIZE = 0b100;
const HAS_GENERATION = 0b1000;
const IS_SAME_OBJECT = 0b1_0000;

/** The description of a snapshot. LSNs are 16 hex digits. */
export interface SnapshotDescription {
  readonly label: string;
  readonly layers: number;
  readonly holes: number;
  /** Pages of a stripe, if the layers are those of several shards. */
  readonly stripeSize?: number | undefined;
  readonly diskConsistentLsn?: string | undefined;
  readonly gcCutoffLsn?: string | undefined;
  readonly ancestorLsn?: string | undefined;
  readonly branchLsns: readonly string[];
}

/** Why names of a source are not on the map. */
export interface LeftOut {
  /** How many names. */
  readonly count: number;
  /** The first of them, shortened, with the reason. */
  readonly examples: readonly string[];
}

/** What the page knows besides the columns. */
export interface PageDescription {
  readonly title: string;
  readonly layers: number;
  readonly keyBorders: number;
  readonly lsnBorders: number;
  readonly snapshots: readonly SnapshotDescription[];
  /** Names as they were given, of layers whose name is not canonical. */
  readonly givenNames: readonly (readonly [layer: number, name: string])[];
  readonly leftOut: LeftOut;
}

/** The columns of a snapshot. */
export interface SnapshotColumns {
  readonly members: Uint8Array;
  readonly visible: Uint8Array;
  readonly holes: Uint32Array;
}

/** All columns, as views of one buffer. */
export interface PageColumns {
  readonly keys: Uint8Array;
  readonly lsnWords: Uint32Array;
  readonly keyStart: Uint32Array;
  readonly keyEnd: Uint32Array;
  readonly lsnStart: Uint32Array;
  readonly lsnEnd: Uint32Array;
  readonly sizes: Uint32Array;
  readonly generations: Uint32Array;
  readonly shards: Uint16Array;
  readonly facts: Uint8Array;
  readonly snapshots: readonly SnapshotColumns[];
}

type Counts = Pick<PageDescription, 'layers' | 'keyBorders' | 'lsnBorders'> & {
  readonly snapshots: readonly { readonly holes: number }[];
};

/** Bytes of the buffer that the columns take. */
export function columnsSize(counts: Counts): number {
  const cursor = new Cursor(undefined);
  takeColumns(cursor, counts);
  return cursor.offset;
}

/** The columns in a buffer of `columnsSize` bytes: to fill it, and to read it. */
export function columnsOf(buffer: ArrayBuffer, counts: Counts): PageColumns {
  return takeColumns(new Cursor(buffer), counts);
}

/** The flags of a layer in a byte, in addition to its level. */
export interface LayerFacts {
  readonly hasSize: boolean;
  readonly hasGeneration: boolean;
  readonly isSameObject: boolean;
}

/** The facts of a layer, as a byte. */
export function encodeFacts(level: number, facts: LayerFacts): number {
  return (
    level |
    (facts.hasSize ? HAS_SIZE : 0) |
    (facts.hasGeneration ? HAS_GENERATION : 0) |
    (facts.isSameObject ? IS_SAME_OBJECT : 0)
  );
}

/** Whether the layer is the same object as the one before it. */
export function isSameObject(facts: number): boolean {
  return (facts & IS_SAME_OBJECT) !== 0;
}

/** The number of a layer's level. */
export function levelNumber(facts: number): number {
  return facts & LEVEL_BITS;
}

/** Whether the size of the layer is known. */
export function hasSize(facts: number): boolean {
  return (facts & HAS_SIZE) !== 0;
}

/** Whether the generation of the layer is known. */
export function hasGeneration(facts: number): boolean {
  return (facts & HAS_GENERATION) !== 0;
}

/** Whether the bit of a layer is set. */
export function bitAt(bits: Uint8Array, layer: number): boolean {
  return (((bits[layer >> 3] ?? 0) >> (layer & 7)) & 1) === 1;
}

/** Sets the bit of a layer. */
export function setBit(bits: Uint8Array, layer: number): void {
  bits[layer >> 3] = (bits[layer >> 3] ?? 0) | (1 << (layer & 7));
}

function takeColumns(cursor: Cursor, counts: Counts): PageColumns {
  const { layers, keyBorders, lsnBorders } = counts;
  return {
    keys: cursor.bytes(keyBorders * KEY_SIZE),
    lsnWords: cursor.words(2 * lsnBorders),
    keyStart: cursor.words(layers),
    keyEnd: cursor.words(layers),
    lsnStart: cursor.words(layers),
    lsnEnd: cursor.words(layers),
    sizes: cursor.words(2 * layers),
    generations: cursor.words(layers),
    shards: cursor.halfWords(layers),
    facts: cursor.bytes(layers),
    snapshots: counts.snapshots.map(({ holes }) => ({
      members: cursor.bytes(Math.ceil(layers / 8)),
      visible: cursor.bytes(Math.ceil(layers / 8)),
      holes: cursor.words(2 * holes),
    })),
  };
}

/** Takes one column after the other; without a buffer it only counts. */
class Cursor {
  offset = 0;
  readonly #buffer: ArrayBuffer | undefined;

  constructor(buffer: ArrayBuffer | undefined) {
    this.#buffer = buffer;
  }

  bytes(length: number): Uint8Array {
    return new Uint8Array(...this.#take(length, length));
  }

  halfWords(length: number): Uint16Array {
    return new Uint16Array(...this.#take(2 * length, length));
  }

  words(length: number): Uint32Array {
    return new Uint32Array(...this.#take(4 * length, length));
  }

  #take(size: number, length: number): [ArrayBuffer, number, number] {
    const at = this.offset;
    this.offset += Math.ceil(size / 8) * 8;
    return this.#buffer === undefined ? [new ArrayBuffer(0), 0, 0] : [this.#buffer, at, length];
  }
}
