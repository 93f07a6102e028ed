/**
 * The second state as a whole timeline, which the WAL of the third one continues: what a pageserver would put
 * for each record. Then one page is explained in words.
 */
import { join } from 'node:path';
import { importTimeline, WalIngest } from 'layerfile/ingest';
import { openWal, walDirectory } from 'layerfile/wal';
import { layerfile } from './command.mjs';

/** Every key that a pageserver needs, including those that are not pages. */
export function importSecondState({ pgdata, target, ids }) {
  return importTimeline({ ...ids, dataDirectory: pgdata, target, way: 'classic' });
}

/** Continues the timeline with the WAL that the server has written since. */
export async function ingestThirdState({ pgdata, target }) {
  const ingest = await WalIngest.open({ base: target, target });
  try {
    const wal = await openWal(walDirectory(join(pgdata, 'pg_wal')), { start: ingest.startLsn });
    return await ingest.ingest(wal);
  } finally {
    await ingest.close();
  }
}

/**
 * Explains the first block of a relation.
 *
 * @returns The arguments of `explain`, what it prints, and whether it names a change of a row.
 */
export async function explainChange({ target, relation: { spcnode, dbnode, relnode } }) {
  const words = [`rel=${spcnode}/${dbnode}/${relnode}`, 'blkno=0'];
  const printed = (await layerfile('explain', target, ...words)).trimEnd().split('\n');
  return { words, printed, isExplained: printed.some((line) => /Heap\/(HOT_)?UPDATE/.test(line)) };
}
