/** The lines of a part of WAL, in the format of `wal`. */
import type { HeapDialect } from '../wal/heap-dialect.ts';
import { type PartBorders, type PartReadOptions, readPart, type WalPart } from '../wal/wal-part.ts';
import { Output, type OutputStream } from './output.ts';
import { RecordPrinter } from './record-printer.ts';
import { createWalWriter } from './wal-writer.ts';

/** How a line looks; plain data. */
export interface LineForm {
  readonly format: 'people' | 'ndjson';
  readonly dialect: HeapDialect | undefined;
}

export type LinesPart = WalPart & LineForm;

export interface FormattedPart extends PartBorders {
  /** All lines. */
  readonly text: Uint8Array<ArrayBuffer>;
}

/** Returns: undefined unless the part is complete and valid, and all its records can be described. Throws `aborted`. */
export async function formatPart(
  part: LinesPart,
  options: PartReadOptions & { readonly signal: AbortSignal },
): Promise<FormattedPart | undefined> {
  const { format, dialect, selection } = part;
  const lines = new CollectedText();
  const { signal } = options;
  const output = new Output(lines, { name: 'text', isTerminal: false, colour: false, signal });
  const borders = await readPart(
    part,
    ({ majorVersion }) => {
      const writer = createWalWriter(output, { format, majorVersion, dialect });
      const printer = new RecordPrinter(writer, { majorVersion, selection });
      return async (batch, to) => {
        let isValid = true;
        const onDamage = (): undefined => {
          isValid = false;
        };
        await printer.printBatch(batch, { to, onDamage });
        return isValid;
      };
    },
    options,
  );
  if (borders === undefined) return undefined;
  await output.flush();
  return { ...borders, text: lines.bytes() };
}

/** Keeps what is written. */
class CollectedText implements OutputStream {
  readonly #chunks: Uint8Array[] = [];
  #length = 0;

  write(chunk: string | Uint8Array, done: () => void): boolean {
    const bytes = Buffer.from(chunk);
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    done();
    return true;
  }

  /** Writing never fails. */
  on(): this {
    return this;
  }

  /** All of it, in its own memory. */
  bytes(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}
