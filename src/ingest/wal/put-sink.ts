/** The two sides of `RecordIngest`: what it reads, and where its values go. */
import type { Key } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';

/** The timeline that is continued, including the values that were put. */
export interface IngestBase {
  /**
   * The newest value of a key at an LSN, including those that the sink has received from earlier records. Values of the
   * record itself are never asked for.
   *
   * @param key Unchanged until the promise settles.
   * @returns A page of 8,192 bytes, or the content of any other key; undefined if there is none.
   */
  get(key: Key, lsn: Lsn): Promise<Uint8Array | undefined>;
}

/**
 * Takes values in the order of their LSNs. For one key and LSN, the last value counts. All bytes are views that are
 * valid until the call returns.
 */
export interface PutSink {
  /** Adds a serialized value, as it is stored in a delta layer. */
  put(key: Key, lsn: Lsn, willInit: boolean, value: Uint8Array): void;
  /** Adds a raw WAL record, which the sink serializes as the value that holds it. */
  putRecord(key: Key, lsn: Lsn, willInit: boolean, record: Uint8Array): void;
}
