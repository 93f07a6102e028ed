/** The lines of a dump of WAL records, formatted from arrays in memory. */

const PIECE_LENGTH = 64 * 1024;

/** The columns of a layer's entries, all in memory. */
export async function loadColumns(reader) {
  const columns = { keys: [], lsns: [], willInit: [], offsets: [], storedLengths: [], lengths: [] };
  for await (const batch of reader.batches()) {
    for (let at = 0; at < batch.count; at += 1) {
      columns.keys.push(Buffer.from(batch.key(at)));
      columns.lsns.push(batch.lsn(at));
      columns.willInit.push(batch.willInit[at] === 1);
      columns.offsets.push(batch.offsets[at]);
      columns.storedLengths.push(batch.storedLengths[at]);
      columns.lengths.push(batch.lengths[at]);
    }
  }
  return columns;
}

/** Passes on the text in pieces. Returns: the number of lines. */
export function formatLines(columns, onPiece) {
  const { keys, lsns, willInit, offsets, storedLengths, lengths } = columns;
  let text = '';
  for (let at = 0; at < keys.length; at += 1) {
    const key = keys[at].toString('hex').toUpperCase();
    const lsn = lsns[at].toString(16).toUpperCase().padStart(16, '0');
    text +=
      `{"key":"${key}","lsn":"${lsn}","will_init":${willInit[at]},"offset":${offsets[at]}` +
      `,"stored_len":${storedLengths[at]},"len":${lengths[at]},"compressed":false,"type":"wal"}\n`;
    if (text.length < PIECE_LENGTH) continue;
    onPiece(text);
    text = '';
  }
  onPiece(text);
  return keys.length;
}
