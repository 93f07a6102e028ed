/** Every byte of a file belongs to one range, whatever the file is. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { isStorageError } from '../../../src/errors.ts';
import { fileLayout, type LayoutRange } from '../../../src/layers/layer-file/file-layout.ts';
import { corruptFiles, goldenLayers } from '../../support/golden.ts';
import { deltaKey, layerBytes, nodeBlock, offsetsOf, shortBlob } from '../../support/hand-made.ts';
import { blockKey } from '../../support/layers.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';

describe.each(goldenLayers())('$manifest.case', ({ path, manifest }) => {
  test('a golden file is covered by ranges that follow each other without gaps', async () => {
    const bytes = readFileSync(path);
    const { ranges, error } = await listed(bytes);
    expect(error).toBeUndefined();
    expectCovered(ranges, bytes.length);
    expect(ranges.filter((range) => range.error !== undefined)).toEqual([]);
  });

  test('a golden file has a blob header for each entry, at its offset', async () => {
    const { ranges } = await listed(readFileSync(path));
    const headers = ranges.filter(({ what }) => what === 'blob header');
    expect(headers.map(({ offset }) => offset)).toEqual(manifest.dump.map(({ off }) => off));
  });

  test('a golden file has a node header for each block of the index', async () => {
    const { ranges } = await listed(readFileSync(path));
    const blocks = ranges.filter(({ what }) => what === 'node header').map(({ block }) => block);
    expect(blocks).toEqual([...Array(manifest.index.blocks).keys()]);
  });
});

describe.each(corruptFiles())('$id: $wrong', ({ path }) => {
  test('a damaged file is covered as a whole, or its summary is refused', async () => {
    const bytes = readFileSync(path);
    const { ranges, error } = await listed(bytes);
    if (ranges.length === 0) expect(isStorageError(error)).toBe(true);
    else expectCovered(ranges, bytes.length);
  });
});

const CONTENTS = [1, 2, 3].map((length) => shortBlob(new Uint8Array(length).fill(length)));

/** An image layer of three values of 1, 2 and 3 bytes. */
function threeValues(change: (bytes: Buffer) => void = () => {}): Buffer {
  const keys = [1, 2, 3].map(blockKey);
  const blocks = [nodeBlock({ keys, values: offsetsOf(CONTENTS) })];
  const bytes = layerBytes({ kind: 'image', blobs: CONTENTS, blocks });
  change(bytes);
  return bytes;
}

describe('an image layer of three values', () => {
  test('an image layer of three values is listed field by field', async () => {
    const { ranges } = await listed(threeValues());
    expect(ranges.map(({ offset, length, what }) => [offset, length, what])).toEqual([
      [0, 2, 'magic'],
      [2, 2, 'format version'],
      [4, 16, 'tenant id'],
      [20, 16, 'timeline id'],
      [36, 18, 'first key'],
      [54, 18, 'end key'],
      [72, 8, 'LSN'],
      [80, 4, 'index start block'],
      [84, 4, 'index root block'],
      [88, 8104, 'zeros'],
      [8192, 1, 'blob header'],
      [8193, 1, 'blob'],
      [8194, 1, 'blob header'],
      [8195, 2, 'blob'],
      [8197, 1, 'blob header'],
      [8198, 3, 'blob'],
      [8201, 8183, 'zeros'],
      [16384, 5, 'node header'],
      [16389, 54, 'suffixes'],
      [16443, 15, 'node values'],
      [16458, 8118, 'zeros'],
    ]);
  });

  test('an image layer of three values with a reserved blob header keeps the values around it', async () => {
    const bytes = threeValues((changed) => {
      changed[8194] = 0xa0;
    });
    const { ranges } = await listed(bytes);
    expectCovered(ranges, bytes.length);
    const values = ranges.filter(({ part }) => part === 'values');
    expect(values.map(({ offset, what, error }) => [offset, what, error?.code])).toEqual([
      [8192, 'blob header', undefined],
      [8193, 'blob', undefined],
      [8194, 'damaged blob header', 'corrupt'],
      [8195, 'bytes without an index entry', undefined],
      [8197, 'blob header', undefined],
      [8198, 'blob', undefined],
    ]);
  });

  test('an image layer of three values with a last value that is longer than the values shows that value as damaged', async () => {
    const { ranges } = await listed(
      threeValues((changed) => {
        changed.set([0x80, 0x00, 0x20, 0x00], 8197);
      }),
    );
    expect(ranges.find(({ error }) => error !== undefined)).toMatchObject({
      offset: 8197,
      what: 'damaged blob header',
      error: { code: 'truncated', offset: 8197 },
    });
  });

  test('an image layer of three values with a leaf that does not decode shows its values as bytes without an index entry', async () => {
    const bytes = threeValues((changed) => changed.fill(0, 16384));
    const { ranges } = await listed(bytes);
    expectCovered(ranges, bytes.length);
    expect(ranges.slice(-2)).toMatchObject([
      { offset: 8192, length: 8192, what: 'bytes without an index entry' },
      { offset: 16384, length: 8192, what: 'damaged index block', error: { code: 'corrupt' } },
    ]);
  });

  test('an image layer of three values with blob headers that follow each other and do not decode shows them as one range', async () => {
    const keys = [1, 2, 3].map(blockKey);
    const blocks = [nodeBlock({ keys, values: [8192, 8193, 8194] })];
    const blobs = [Uint8Array.of(0xa0, 0xa0, 0x01, 0x07)];
    const { ranges } = await listed(layerBytes({ kind: 'image', blobs, blocks }));
    expect(ranges.filter(({ part }) => part === 'values')).toMatchObject([
      { offset: 8192, length: 2, what: 'damaged blob headers', error: { offset: 8192 } },
      { offset: 8194, length: 1, what: 'blob header' },
      { offset: 8195, length: 1, what: 'blob' },
    ]);
  });

  test('an image layer of three values with an index that starts at the values is listed without one, and then refused', async () => {
    const bytes = threeValues((changed) => changed.writeUInt32BE(1, 80));
    const { ranges, error } = await listed(bytes);
    expectCovered(ranges, bytes.length);
    expect(ranges.at(-1)).toMatchObject({ part: 'rest', offset: 8192 });
    expect(error).toMatchObject({ code: 'out-of-range' });
  });

  test('an image layer of three values with bytes in its padding says that they are not zeros', async () => {
    const { ranges } = await listed(
      threeValues((changed) => {
        changed[9000] = 1;
        changed[16384 + 8000] = 1;
      }),
    );
    expect(ranges.filter(({ what }) => what !== 'zeros').at(-1)).toMatchObject({
      what: 'bytes other than zeros',
      part: 'index',
    });
    expect(ranges.find(({ offset }) => offset === 8201)).toMatchObject({
      what: 'bytes without an index entry',
    });
  });

  test('an image layer of three values that continues after its index shows the rest', async () => {
    const bytes = Buffer.concat([threeValues(), Buffer.alloc(10)]);
    const { ranges } = await listed(bytes);
    expect(ranges.at(-1)).toEqual({
      part: 'rest',
      offset: 24576,
      length: 10,
      what: 'bytes after the index',
    });
  });

  test('an image layer of three values that ends before its index is listed, and then refused', async () => {
    const bytes = threeValues().subarray(0, 16000);
    const { ranges, error } = await listed(bytes);
    expectCovered(ranges, bytes.length);
    expect(error).toMatchObject({ code: 'truncated' });
  });
});

test('a delta layer shows the type, key and LSN of each value', async () => {
  const wal = shortBlob(
    Uint8Array.from([0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0xaa, 0xbb]),
  );
  const junk = shortBlob(Uint8Array.from([0, 0, 0, 7]));
  const blobs = [wal, junk];
  const keys = [deltaKey(blockKey(1), 0x100_0010n), deltaKey(blockKey(2), 0x100_0020n)];
  const values = offsetsOf(blobs).map((offset) => 2 * offset);
  const bytes = layerBytes({ kind: 'delta', blobs, blocks: [nodeBlock({ keys, values })] });
  const { ranges } = await listed(bytes);
  expect(ranges.filter(({ what }) => what === 'blob').map(({ detail }) => detail)).toEqual([
    'wal, 000000067F00000005000040000000000001 at 0/1000010',
    'undecodable value, 000000067F00000005000040000000000002 at 0/1000020',
  ]);
});

test('a listing that is aborted ends', async () => {
  const controller = new AbortController();
  const ranges = fileLayout(bytesSource(threeValues()), { signal: controller.signal });
  await ranges.next();
  controller.abort();
  const error = await storageErrorOf(
    (async () => {
      for await (const _ of ranges);
    })(),
  );
  expect(error.code).toBe('aborted');
});

async function listed(bytes: Uint8Array): Promise<{ ranges: LayoutRange[]; error?: unknown }> {
  const ranges: LayoutRange[] = [];
  try {
    for await (const range of fileLayout(bytesSource(bytes, '/layer'))) ranges.push(range);
  } catch (error) {
    return { ranges, error };
  }
  return { ranges };
}

function expectCovered(ranges: readonly LayoutRange[], size: number): void {
  let end = 0;
  for (const { offset, length } of ranges) {
    expect(offset).toBe(end);
    expect(length).toBeGreaterThan(0);
    end += length;
  }
  expect(end).toBe(size);
}
