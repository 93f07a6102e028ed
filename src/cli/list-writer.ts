/** A list of JSON objects: one per line, or the items of one array. */
import { asciiBytes, writeAscii } from '../ascii.ts';
import type { JsonPieces } from './json.ts';
import type { FillBytes, Output } from './output.ts';

/** An object that starts with fields in ASCII, which are written directly into the output. */
export interface FilledItem {
  /** Maximum number of bytes of the fields. */
  readonly maximumLength: number;
  readonly fill: FillBytes;
  /** What follows the fields, without the closing brace. */
  readonly rest: JsonPieces;
}

/** Maximum number of bytes around an object. */
const MAXIMUM_FRAME_LENGTH = 8;

const CLOSING = '\n]\n';

export class ListWriter {
  readonly #output: Output;
  readonly #format: 'json' | 'ndjson';
  readonly #ending: string;
  readonly #opening: { readonly first: Uint8Array; readonly others: Uint8Array };
  readonly #closing: Uint8Array;
  #started = false;

  constructor(output: Output, format: 'json' | 'ndjson') {
    this.#output = output;
    this.#format = format;
    this.#ending = format === 'ndjson' ? '\n' : '';
    this.#opening = {
      first: asciiBytes(`${this.#before('first')}{`),
      others: asciiBytes(`${this.#before('other')}{`),
    };
    this.#closing = asciiBytes(`}${this.#ending}`);
  }

  /** Returns undefined if the text was only collected. */
  write(item: JsonPieces): Promise<void> | undefined {
    const before = this.#before(this.#started ? 'other' : 'first');
    this.#start();
    return this.#output.writePieces([before, ...item, this.#ending]);
  }

  /** Returns like `write`. */
  writeFilled({ maximumLength, fill, rest }: FilledItem): Promise<void> | undefined {
    const opening = this.#started ? this.#opening.others : this.#opening.first;
    const isWhole = rest.length === 0;
    this.#start();
    return this.#output.writeFilled(
      maximumLength + MAXIMUM_FRAME_LENGTH,
      (target, at) => {
        const end = fill(target, writeAscii(target, at, opening));
        return isWhole ? writeAscii(target, end, this.#closing) : end;
      },
      isWhole ? rest : [...rest, `}${this.#ending}`],
    );
  }

  async end(): Promise<void> {
    if (this.#format === 'ndjson') return;
    this.#output.endDocument();
    await this.#output.write(this.#started ? CLOSING : '[]\n');
  }

  #start(): void {
    if (!this.#started && this.#format === 'json') this.#output.beginDocument(CLOSING);
    this.#started = true;
  }

  #before(item: 'first' | 'other'): string {
    if (this.#format === 'ndjson') return '';
    return item === 'first' ? '[\n' : ',\n';
  }
}
