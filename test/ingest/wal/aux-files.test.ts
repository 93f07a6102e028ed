import { describe, expect, test } from 'vitest';
import { imageOf, ingestAll, MESSAGE } from '../../support/ingest-records.ts';
import { smallCluster } from '../../support/ingested-values.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { type HandMadeRecord, u32 } from '../../support/wal-records.ts';

describe('auxiliary files', () => {
  const message = (prefix: string, content: string): HandMadeRecord => {
    const lengths = [...u32(prefix.length + 1), ...u32(0), ...u32(content.length), ...u32(0)];
    const head = [...u32(5), 0, 0, 0, 0, ...lengths];
    const bytes = Uint8Array.of(...head, ...Buffer.from(prefix), 0, ...Buffer.from(content));
    return { resourceManager: MESSAGE, info: 0, mainData: bytes };
  };
  const KEY = '62000001017F8B83D94F7081693471ABF91C';
  const file = (path: string, content: string): string =>
    Buffer.from([...u32be(path.length), ...Buffer.from(path), ...u32be(content.length)]).toString(
      'latin1',
    ) + content;

  test('a message with the prefix is a file under the hash of its path', async () => {
    const path = 'pg_logical/mappings/test1';
    const put = await ingestAll(smallCluster({}), [message(`neon-file:${path}`, 'abc')]);
    expect([...put.keys()]).toEqual([KEY]);
    expect(Buffer.from(imageOf(put.get(KEY))).toString('latin1')).toBe(`\x01${file(path, 'abc')}`);
  });

  test('a second content replaces the first, and an empty one removes the file', async () => {
    const name = 'neon-file:pg_logical/mappings/test1';
    const values = smallCluster({});
    const put = await ingestAll(values, [message(name, 'abc'), message(name, 'd')]);
    expect(imageOf(put.get(KEY))).toHaveLength(1 + 4 + 25 + 4 + 1);
    const removed = await ingestAll(values, [message(name, '')]);
    expect(imageOf(removed.get(KEY))).toHaveLength(0);
  });

  test('other files of the same key stay', async () => {
    const stored = Buffer.from(`\x01${file('other', 'x')}`, 'latin1');
    const values = smallCluster({}).set(KEY, Uint8Array.from(stored));
    const path = 'pg_logical/mappings/test1';
    const put = await ingestAll(values, [message(`neon-file:${path}`, 'y')]);
    const expected = `\x01${file('other', 'x')}${file(path, 'y')}`;
    expect(Buffer.from(imageOf(put.get(KEY))).toString('latin1')).toBe(expected);
  });

  test('messages with another prefix give nothing', async () => {
    expect((await ingestAll(smallCluster({}), [message('neon-fil', 'abc')])).size).toBe(0);
  });

  test('a path that is not UTF-8 is corrupt', async () => {
    const record = message('neon-file:x', 'abc');
    record.mainData?.set([0xff], 24 + 10);
    const error = await storageErrorOf(ingestAll(smallCluster({}), [record]));
    expect(error.code).toBe('corrupt');
  });

  test('a stored value that is not a list of files ends the ingest', async () => {
    const values = smallCluster({}).set(KEY, Uint8Array.of(1, 0, 0, 0, 9));
    const record = message('neon-file:pg_logical/mappings/test1', 'abc');
    expect((await storageErrorOf(ingestAll(values, [record]))).code).toBe('truncated');
  });
});

function u32be(value: number): number[] {
  return u32(value).reverse();
}
