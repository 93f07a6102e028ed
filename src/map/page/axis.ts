/**
 * An axis of the map: the part of it that is shown, and where borders of layers lie in it.
 *
 * An axis has two scales. On the scale of ranks all borders have the same distance. The true scale is that
 * of the numbers themselves, of up to 128 bits; one relation is 2^-45 of it. So the start of the view is
 * a big integer, and a border's distance from it is computed word by word, which is exact where it is
 * small. The view can therefore be narrowed from the whole key space to a single block.
 */
import { rowsUpTo } from '../../timeline/layer-map/words.ts';

/** The scale of an axis. */
export type Scale = 'ranks' | 'true';

/** Bits of the start of the view below one unit. */
const FRACTION_BITS = 16n;
const FRACTION = 65_536;
const WORD_BITS = 32n;
const WORD = 2 ** 32;

/** Part of the view that stays empty beyond the first and the last border when all is shown. */
const MARGIN = 0.02;
/** The view is at most this many times what there is, and at least this many units. */
const WIDEST = 1.5;
const NARROWEST = 1 / 64;

export class Axis {
  /** For each border its pixel from the start of the view, since the last `place`. */
  readonly positions: Float64Array;
  readonly #words: Uint32Array;
  readonly #width: number;
  #scale: Scale = 'ranks';
  /** First unit of the view, with `FRACTION_BITS`. */
  #start = 0n;
  /** Units in the view. */
  #span = 1;
  #length = 1;

  /** @param words The borders, ascending, in rows of `width` words. */
  constructor(words: Uint32Array, width: number) {
    this.#words = words;
    this.#width = width;
    this.positions = new Float64Array(words.length / width);
    this.showAll();
  }

  get count(): number {
    return this.positions.length;
  }

  get scale(): Scale {
    return this.#scale;
  }

  /** Changes the scale; the view keeps what it shows. */
  useScale(scale: Scale): void {
    const first = this.valueAt(0);
    const last = this.valueAt(this.#length);
    this.#scale = scale;
    this.#showUnits(this.#unitOf(first), this.#unitOf(last));
  }

  /** Computes the positions for a view of this many pixels. */
  place(length: number): void {
    this.#length = Math.max(1, length);
    const perUnit = this.#length / this.#span;
    const origin = this.#start >> FRACTION_BITS;
    const fraction = Number(this.#start & (BigInt(FRACTION) - 1n)) / FRACTION;
    if (this.#scale === 'ranks') {
      const first = Number(origin) + fraction;
      for (let border = 0; border < this.count; border += 1) {
        this.positions[border] = (border - first) * perUnit;
      }
      return;
    }
    const words = wordsOf(origin, this.#width);
    for (let border = 0; border < this.count; border += 1) {
      let distance = 0;
      for (let word = 0; word < this.#width; word += 1) {
        const at = border * this.#width + word;
        distance = distance * WORD + ((this.#words[at] ?? 0) - (words[word] ?? 0));
      }
      this.positions[border] = (distance - fraction) * perUnit;
    }
  }

  /** The pixel of a number. */
  pixelOf(value: bigint): number {
    return (Number(this.#unitOf(value) - this.#start) / FRACTION) * (this.#length / this.#span);
  }

  /** The number at a pixel, at least that of the first border and at most that of the last. */
  valueAt(pixel: number): bigint {
    if (this.count === 0) return 0n;
    const unit = this.#unitAt(pixel);
    const last = this.count - 1;
    if (this.#scale === 'true') {
      const value = unit >> FRACTION_BITS;
      const [lowest, highest] = [this.borderValue(0), this.borderValue(last)];
      return value < lowest ? lowest : value > highest ? highest : value;
    }
    const rank = Math.min(last, Math.max(0, Number(unit >> FRACTION_BITS)));
    const below = this.borderValue(rank);
    if (rank === last || unit < 0n) return below;
    const gap = this.borderValue(rank + 1) - below;
    return below + ((gap * (unit - (BigInt(rank) << FRACTION_BITS))) >> FRACTION_BITS);
  }

  /** The number of a border. */
  borderValue(border: number): bigint {
    let value = 0n;
    for (let word = 0; word < this.#width; word += 1) {
      value = (value << WORD_BITS) | BigInt(this.#words[border * this.#width + word] ?? 0);
    }
    return value;
  }

  /** Moves the view by a part of its length. */
  pan(part: number): void {
    this.#setView(this.#start + toUnits(part * this.#span), this.#span);
  }

  /** Makes the view `factor` times as long; what is at `part` of it stays there. */
  zoom(factor: number, part: number): void {
    const span = this.#clampSpan(this.#span * factor);
    this.#setView(this.#start + toUnits(part * (this.#span - span)), span);
  }

  showAll(): void {
    this.#showUnits(...this.#extent());
  }

  /** Shows two borders and some of what is around them. */
  showBorders(first: number, last: number): void {
    const low = this.#unitOf(this.borderValue(first));
    const high = this.#unitOf(this.borderValue(last));
    const around = (high - low) / 4n;
    this.#showUnits(low - around, high + around);
  }

  #showUnits(low: bigint, high: bigint): void {
    const span = this.#clampSpan((Number(high - low) / FRACTION) * (1 + 2 * MARGIN));
    this.#setView((low + high - toUnits(span)) / 2n, span);
  }

  /** Keeps a part of what there is in the view. */
  #setView(start: bigint, span: number): void {
    const [low, high] = this.#extent();
    const least = toUnits(span * MARGIN * 2);
    const first = low - toUnits(span) + least;
    const last = high - least;
    this.#span = span;
    this.#start = start < first ? first : start > last ? last : start;
  }

  #clampSpan(span: number): number {
    const [low, high] = this.#extent();
    const widest = Math.max(1, (Number(high - low) / FRACTION) * WIDEST);
    return Math.min(widest, Math.max(NARROWEST, span));
  }

  #extent(): [low: bigint, high: bigint] {
    if (this.count === 0) return [0n, BigInt(FRACTION)];
    const last = this.count - 1;
    return [this.#unitOf(this.borderValue(0)), this.#unitOf(this.borderValue(last))];
  }

  #unitAt(pixel: number): bigint {
    return this.#start + toUnits((pixel * this.#span) / this.#length);
  }

  /** Between two borders the scale of ranks is a straight line; there is nothing beyond the outermost. */
  #unitOf(value: bigint): bigint {
    if (this.#scale === 'true') return value << FRACTION_BITS;
    const rank = rowsUpTo(this.#words, Uint32Array.from(wordsOf(value, this.#width))) - 1;
    if (rank < 0) return 0n;
    const unit = BigInt(rank) << FRACTION_BITS;
    if (rank >= this.count - 1) return unit;
    const below = this.borderValue(rank);
    const gap = this.borderValue(rank + 1) - below;
    return unit + ((value - below) << FRACTION_BITS) / gap;
  }
}

/** The words of a number, the most significant first; that one is negative if the number is. */
function wordsOf(value: bigint, width: number): number[] {
  const mask = (1n << WORD_BITS) - 1n;
  const words = [];
  for (let word = 0; word < width; word += 1) {
    const shifted = value >> (WORD_BITS * BigInt(width - 1 - word));
    words.push(Number(word === 0 ? shifted : shifted & mask));
  }
  return words;
}

function toUnits(units: number): bigint {
  return BigInt(Math.round(units * FRACTION));
}
