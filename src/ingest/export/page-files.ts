/** Writes runs of pages into their files, with checksums where the cluster has them. */
import { assert } from '../../assert.ts';
import { StorageError, throwIfAborted } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { decodePageHeader, PAGE_SIZE, pageChecksum, setPageChecksum } from '../../postgres/page.ts';
import type { DirectoryOutput, OutputFile } from './directory-output.ts';
import type { PageSequence } from './export-plan.ts';
import type { ReadRun } from './page-reading.ts';

/**
 * Maximum number of files in which no page has a value: 4 TiB in files of the usual size. That many cost only their
 * names and a few seconds; a wrong size may claim eight times as many for one fork.
 */
const MAXIMUM_VACANT_FILES = 4096;

/** Runs come in the order of the sequences; files of sequences without pages are created in between. */
export class PageFileWriter {
  readonly #output: DirectoryOutput;
  readonly #sequences: readonly PageSequence[];
  readonly #checksums: 'on' | 'off';
  readonly #signal: AbortSignal | undefined;
  /** Number of sequences that were begun. */
  #begun = 0;
  /** The file of the last page that was written, if more of it follow. */
  #open: OutputFile | undefined;
  #checksumCount = 0;
  #vacantFileCount = 0;

  constructor(
    output: DirectoryOutput,
    sequences: readonly PageSequence[],
    { checksums, signal }: { checksums: 'on' | 'off'; signal: AbortSignal | undefined },
  ) {
    this.#output = output;
    this.#sequences = sequences;
    this.#checksums = checksums;
    this.#signal = signal;
  }

  /** Pages whose stored checksum did not match their content. */
  get checksumCount(): number {
    return this.#checksumCount;
  }

  /**
   * Writes the pages of a run, whose checksums it sets.
   * Throws `too-large` for too many files without a value, `io`, `sync-failed`, `aborted`.
   */
  async write(run: ReadRun): Promise<void> {
    const { sequence, firstBlock, pageCount, bytes } = run;
    if (bytes === undefined) this.#countVacant(run);
    const isChecksummed = sequence.kind === 'relation' && this.#checksums === 'on';
    if (isChecksummed && bytes !== undefined) this.#setChecksums(bytes, firstBlock);
    if (firstBlock === 0) await this.#begin(sequence);
    const { filePageCount } = sequence;
    for (let done = 0; done < pageCount; ) {
      throwIfAborted(this.#signal);
      const block = firstBlock + done;
      const fileNumber = Math.floor(block / filePageCount);
      const start = block - fileNumber * filePageCount;
      const end = Math.min(start + pageCount - done, filePageCount);
      this.#open ??= await this.#output.createFile(sequence.pathOf(fileNumber));
      // A page that could not be built is left out, so that the system reads zeros there.
      if (bytes === undefined) await this.#open.setLength(end * PAGE_SIZE);
      else {
        const pages = bytes.subarray(done * PAGE_SIZE, (done + end - start) * PAGE_SIZE);
        await this.#open.writeAllAt(pages, start * PAGE_SIZE);
      }
      done += end - start;
      if (end === filePageCount || firstBlock + done === sequence.pageCount) this.#end();
    }
  }

  /** Makes the files without pages that are left. Throws `io`, `sync-failed`. */
  async finish(): Promise<void> {
    await this.#begin(undefined);
    assert(this.#open === undefined, 'all pages of a file were written');
  }

  /** Closes the file that is open. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open?.[Symbol.asyncDispose]();
  }

  /** Makes the empty files of the sequences without pages before it; if undefined, of all remaining ones. */
  async #begin(sequence: PageSequence | undefined): Promise<void> {
    for (; this.#begun < this.#sequences.length; this.#begun += 1) {
      const next = this.#sequences[this.#begun] as PageSequence;
      if (next === sequence) break;
      assert(next.pageCount === 0, 'every page is in a run');
      const file = await this.#output.createFile(next.pathOf(0));
      file.finish();
    }
    if (sequence !== undefined) this.#begun += 1;
  }

  #countVacant({ sequence, firstBlock, pageCount }: ReadRun): void {
    this.#vacantFileCount += Math.floor(pageCount / sequence.filePageCount);
    if (this.#vacantFileCount <= MAXIMUM_VACANT_FILES) return;
    throw new StorageError('too-large', {
      what: `files without any value, in a relation whose size claims ${sequence.pageCount} pages`,
      path: sequence.pathOf(Math.floor(firstBlock / sequence.filePageCount)),
      key: formatKey(sequence.keyOf(firstBlock)),
      expected: `at most ${MAXIMUM_VACANT_FILES}`,
      actual: `${this.#vacantFileCount} or more`,
    });
  }

  #end(): void {
    this.#open?.finish();
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
