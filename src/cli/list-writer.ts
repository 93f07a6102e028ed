/** A list of JSON objects: one a line, or the items of one array. */
import type { JsonPieces } from './json.ts';
import type { Output } from './output.ts';

export class ListWriter {
  readonly #output: Output;
  readonly #format: 'json' | 'ndjson';
  #started = false;

  constructor(output: Output, format: 'json' | 'ndjson') {
    this.#output = output;
    this.#format = format;
  }

  /** Nothing is returned while the text is only collected. */
  write(item: JsonPieces): Promise<void> | undefined {
    const [before, behind] =
      this.#format === 'ndjson' ? ['', '\n'] : [this.#started ? ',\n' : '[\n', ''];
    this.#started = true;
    return this.#output.writePieces([before, ...item, behind]);
  }

  async end(): Promise<void> {
    if (this.#format === 'ndjson') return;
    await this.#output.write(this.#started ? '\n]\n' : '[]\n');
  }
}
