/** Prints what requests to redo programs get that could not be started. */
import { openSync } from 'node:fs';
import { isStorageError } from '../../../src/errors.ts';
import { relationBlockKey } from '../../../src/postgres/key-mapping.ts';
import { RedoProcess } from '../../../src/timeline/wal-redo/redo-process.ts';

const key = relationBlockKey({ spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main', blkno: 0 });
const request = { key, base: undefined, records: [] };

/** Node reports the failure in a later turn of the event loop. */
const closed = RedoProcess.start('/no/such/program');
const closedPage = closed.apply(request);
await closed.close();
const closedCode = await codeOf(closedPage);

useAllDescriptors();
const full = RedoProcess.start(process.execPath);
console.log(JSON.stringify({ closed: closedCode, full: await codeOf(full.apply(request)) }));

async function codeOf(page: Promise<unknown>): Promise<unknown> {
  try {
    return await page;
  } catch (error) {
    return isStorageError(error) ? error.code : String(error);
  }
}

function useAllDescriptors(): void {
  try {
    for (;;) openSync('/dev/null', 'r');
  } catch {
    // There are no more.
  }
}
