/** The output forms of `manifest create`: a table, or JSON objects. */
import { printable } from '../printable.ts';
import type { Format } from './context.ts';
import { formatBytes, formatCount } from './human.ts';
import { encodeJson } from './json.ts';
import { ListWriter } from './list-writer.ts';
import type { CreatedManifest } from './manifest-create.ts';
import type { Output } from './output.ts';
import { shownPath } from './shown-path.ts';
import { Table } from './table.ts';

export class CreatedWriter {
  readonly #list: ListWriter | undefined;
  readonly #table: Table;
  readonly #output: Output;

  constructor(output: Output, format: Format) {
    this.#output = output;
    this.#list = format === 'people' ? undefined : new ListWriter(output, format);
    this.#table = new Table(output, [
      { title: 'BLOCKS', align: 'right' },
      { title: 'SIZE', align: 'right' },
      { title: 'MANIFEST' },
    ]);
  }

  /** The line of a file is written before the next file. */
  async created({ path, manifest, bytes, blocks, sha256 }: CreatedManifest): Promise<void> {
    if (this.#list === undefined) {
      const cells = [formatCount(blocks), formatBytes(bytes), printable(manifest)];
      await this.#table.row({ cells });
      return;
    }
    await this.#list.write([
      encodeJson({ path: shownPath(path), manifest, bytes, blocks, sha256 }),
    ]);
    await this.#output.flush();
  }

  async end(): Promise<void> {
    await this.#table.end();
    await this.#list?.end();
  }
}
