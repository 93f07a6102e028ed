/** Key and LSN in one, as databases need it: 26 bytes. */
import { KEY_SIZE } from '../../dist/layers.js';
import { newKeys, setBlock, someLsns } from './keys.mjs';

const ENTRY_KEY_SIZE = KEY_SIZE + 8;
const FIRST_KEY = newKeys();

export class EntryKeys {
  #lsns = someLsns();

  /** Of entry `index`; a fresh array. */
  at(index) {
    const bytes = Buffer.allocUnsafe(ENTRY_KEY_SIZE);
    bytes.set(FIRST_KEY);
    setBlock(bytes, 0, index);
    bytes.writeBigUInt64BE(this.#lsns[index % this.#lsns.length], KEY_SIZE);
    return bytes;
  }
}
