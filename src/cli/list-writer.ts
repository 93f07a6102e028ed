/** A list of JSON objects: one a line, or the items of one array. */
import { asciiBytes, writeAscii } from './ascii.ts';
import type { JsonPieces } from './json.ts';
import type { FillBytes, Output } from './output.ts';

/** An object that begins with fields in ASCII, which are written straight into the output. */
export interface FilledItem {
  /** Bytes of the fields. */
  readonly maximumLength: number;
  readonly fill: FillBytes;
  /** What stands behind them, up to the closing brace. */
  readonly rest: JsonPieces;
}

/** Bytes of what stands around an object. */
const MAXIMUM_FRAME_LENGTH = 8;

export class ListWriter {
  readonly #output: Output;
  readonly #format: 'json' | 'ndjson';
  readonly #behind: string;
  readonly #opening: { readonly first: Uint8Array; readonly others: Uint8Array };
  readonly #closing: Uint8Array;
  #started = false;

  constructor(output: Output, format: 'json' | 'ndjson') {
    this.#output = output;
    this.#format = format;
    this.#behind = format === 'ndjson' ? '\n' : '';
    this.#opening = {
      first: asciiBytes(`${this.#before('first')}{`),
      others: asciiBytes(`${this.#before('other')}{`),
    };
    this.#closing = asciiBytes(`}${this.#behind}`);
  }

  /** Nothing is returned while the text is only collected. */
  write(item: JsonPieces): Promise<void> | undefined {
    const before = this.#before(this.#started ? 'other' : 'first');
    this.#started = true;
    return this.#output.writePieces([before, ...item, this.#behind]);
  }

  /** As `write`. */
  writeFilled({ maximumLength, fill, rest }: FilledItem): Promise<void> | undefined {
    const opening = this.#started ? this.#opening.others : this.#opening.first;
    const isWhole = rest.length === 0;
    this.#started = true;
    return this.#output.writeFilled(
      maximumLength + MAXIMUM_FRAME_LENGTH,
      (target, at) => {
        const end = fill(target, writeAscii(target, at, opening));
        return isWhole ? writeAscii(target, end, this.#closing) : end;
      },
      isWhole ? rest : [...rest, `}${this.#behind}`],
    );
  }

  async end(): Promise<void> {
    if (this.#format === 'ndjson') return;
    await this.#output.write(this.#started ? '\n]\n' : '[]\n');
  }

  #before(item: 'first' | 'other'): string {
    if (this.#format === 'ndjson') return '';
    return item === 'first' ? '[\n' : ',\n';
  }
}
