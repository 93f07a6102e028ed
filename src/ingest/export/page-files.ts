/** Writes runs of pages into their files, with checksums where the cluster has them. */
import { assert } from '../../assert.ts';
import { decodePageHeader, PAGE_SIZE, pageChecksum, setPageChecksum } from '../../postgres/page.ts';
import type { DirectoryOutput, OutputFile } from './directory-output.ts';
import type { PageFile } from './export-plan.ts';
import type { ReadRun } from './page-reading.ts';

/** Runs come in the order of the files; files without pages are made between them. */
export class PageFileWriter {
  readonly #output: DirectoryOutput;
  readonly #files: readonly PageFile[];
  readonly #checksums: 'on' | 'off';
  /** Number of files that were begun. */
  #begun = 0;
  #open: { readonly file: PageFile; readonly target: OutputFile } | undefined;
  #checksumCount = 0;

  constructor(output: DirectoryOutput, files: readonly PageFile[], checksums: 'on' | 'off') {
    this.#output = output;
    this.#files = files;
    this.#checksums = checksums;
  }

  /** Pages whose stored checksum was not that of their content. */
  get checksumCount(): number {
    return this.#checksumCount;
  }

  /** Writes the pages of a run, whose checksums it sets. Throws `io`, `sync-failed`. */
  async write({ file, firstBlock, pageCount, bytes }: ReadRun): Promise<void> {
    while (this.#open?.file !== file) await this.#beginNext();
    if (file.kind === 'relation' && this.#checksums === 'on') this.#setChecksums(bytes, firstBlock);
    const first = firstBlock - file.firstBlock;
    await this.#open.target.writeAllAt(bytes, first * PAGE_SIZE);
    if (first + pageCount === file.pageCount) this.#end();
  }

  /** Makes the files without pages that are left. Throws `io`, `sync-failed`. */
  async finish(): Promise<void> {
    while (this.#begun < this.#files.length) await this.#beginNext();
    assert(this.#open === undefined, 'all pages of a file were written');
  }

  /** Closes the file that is open. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open?.target[Symbol.asyncDispose]();
  }

  async #beginNext(): Promise<void> {
    assert(this.#open === undefined, 'a file is complete before the next one begins');
    const file = this.#files[this.#begun];
    assert(file !== undefined, 'every run is of a file');
    this.#begun += 1;
    this.#open = { file, target: await this.#output.createFile(file.path) };
    if (file.pageCount === 0) this.#end();
  }

  #end(): void {
    this.#open?.target.finish();
    this.#open = undefined;
  }

  #setChecksums(bytes: Uint8Array, firstBlock: number): void {
    for (let offset = 0; offset < bytes.length; offset += PAGE_SIZE) {
      const page = bytes.subarray(offset, offset + PAGE_SIZE);
      const { upper, checksum } = decodePageHeader(page);
      // A new page has no header.
      if (upper === 0) continue;
      const computed = pageChecksum(page, firstBlock + offset / PAGE_SIZE);
      if (checksum === computed) continue;
      this.#checksumCount += 1;
      setPageChecksum(page, computed);
    }
  }
}
