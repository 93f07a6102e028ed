/**
 * Serialized values of a given length, out of a pool that is small beside what is written, so that
 * the peak memory of a row is that of the writer.
 */
import { encodeValue } from '../../dist/layers.js';
import { randomBytes } from './random.mjs';

const POOL_SIZE = 4 * 1024 * 1024;

/** Bytes that serialization adds to a WAL record and to an image. */
const WAL_OVERHEAD = 17;
const IMAGE_OVERHEAD = 12;

const PAGE_LENGTH = 8192;

/** The `count` values of the pool follow each other in `bytes`; `values` are views. */
export class ValuePool {
  length;
  bytes;
  values = [];
  /** Images initialize their page; WAL records do not. */
  willInit;

  constructor(length) {
    this.length = length;
    this.willInit = length >= PAGE_LENGTH;
    const count = Math.floor(POOL_SIZE / length);
    this.bytes = new Uint8Array(count * length);
    const payloads = randomBytes(count * length, length);
    for (let at = 0; at < count; at += 1) {
      const start = at * length;
      this.bytes.set(encodeValue(this.#value(payloads, start)), start);
      this.values.push(this.bytes.subarray(start, start + length));
    }
  }

  get count() {
    return this.values.length;
  }

  /** The value of entry `index`. */
  at(index) {
    return this.values[index % this.values.length];
  }

  #value(payloads, start) {
    const overhead = this.willInit ? IMAGE_OVERHEAD : WAL_OVERHEAD;
    const bytes = payloads.subarray(start, start + this.length - overhead);
    return this.willInit ? { type: 'image', bytes } : { type: 'wal', willInit: false, bytes };
  }
}
