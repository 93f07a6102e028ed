/** Damaged files: each is refused, or its damage is told, and the rest of it stays readable. */
import { describe, expect, it } from 'vitest';
import { isStorageError, StorageError } from '../../src/errors.ts';
import { parseKey } from '../../src/layers/key.ts';
import { parseLsn } from '../../src/layers/lsn.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { decodeValue } from '../../src/layers/value-format.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { type CorruptFile, corruptFiles } from '../support/golden.ts';

const FILES = corruptFiles();

/** Entries of the valid files that these were made from. */
const ENTRY_COUNTS: Record<string, number> = { '43': 700, '44': 700, '46': 700, '48': 700 };

describe.each(FILES.filter(({ expect }) => expect === 'open'))('$id: $wrong', ({ id, path }) => {
  it('a file with a damaged summary is not opened', async () => {
    const error = await errorOf(openLayer(path));
    expect(error).toMatchObject({ path, code: OPEN_CODES[id] });
    expect(error.offset).toBeTypeOf('number');
  });

  it('damage is found by verifying', async () => {
    expect(await verifyLayer(path)).toMatchObject({ ok: false });
  });
});

const OPEN_CODES: Record<string, string> = {
  '01-zero-length': 'truncated',
  '02-8192-zero-bytes': 'corrupt',
  '03-truncated-in-summary': 'truncated',
  '04-truncated-8191': 'truncated',
  '10-wrong-magic': 'corrupt',
  '11-image-magic-in-delta': 'corrupt',
  '12-version-4': 'unsupported-version',
  '18-summary-lsn-reversed': 'corrupt',
};

describe.each(FILES.filter(({ expect }) => expect === 'index'))('$id: $wrong', (file) => {
  it('a damaged index fails cleanly when it is walked', async () => {
    await using reader = await openLayer(file.path);
    const error = await errorOf(drain(reader.entries()));
    expect(error).toMatchObject({ path: file.path, code: INDEX_CODES[file.id] });
    expect(error.offset).toBeTypeOf('number');
    expect(isStorageError(await errorOf(drain(reader.keys({ reverse: true }))))).toBe(true);
  });

  it('a damaged index fails cleanly or finds existing entries when it is searched', async () => {
    await expectValidGet(file);
  });

  it('damage is found by verifying', async () => {
    expect(await verifyLayer(file.path)).toMatchObject({ ok: false });
  });

  it('a damaged index gives no entry twice, and none that a valid file would not give, when it is salvaged', async () => {
    await using reader = await openLayer(file.path);
    let last = Buffer.alloc(0);
    try {
      for await (const item of reader.salvage()) {
        if (item.kind !== 'entry') continue;
        const key = Buffer.concat([item.entry.key, lsnBytes(item.entry.lsn)]);
        expect(Buffer.compare(key, last)).toBeGreaterThan(0);
        last = key;
      }
    } catch (error) {
      expect(isStorageError(error, 'truncated', 'out-of-range', 'corrupt')).toBe(true);
    }
  });
});

const INDEX_CODES: Record<string, string> = {
  '05-truncated-after-block-0': 'truncated',
  '06-truncated-in-values': 'truncated',
  '08-truncated-last-byte': 'truncated',
  '14-root-out-of-range': 'truncated',
  '16-index-start-0': 'out-of-range',
  '20-cycle-self': 'out-of-range',
  '22-child-earlier-block': 'corrupt',
  '23-child-out-of-range': 'out-of-range',
  '25-num-children-0-root': 'corrupt',
  '27-num-children-huge': 'corrupt',
  '28-key-size-27': 'corrupt',
  '30-suffix-len-0': 'corrupt',
  '32-leaf-level-7': 'corrupt',
};

describe.each(FILES.filter(({ expect }) => expect === 'entry'))('$id: $wrong', (file) => {
  it('a read of a damaged entry fails', async () => {
    await using reader = await openLayer(file.path);
    const [key = '', lsn] = file.probe;
    const error = await errorOf(
      (async () => {
        const entry = await reader.get(
          parseKey(key),
          lsn === undefined ? undefined : parseLsn(lsn),
        );
        if (entry !== undefined && file.kind === 'delta') decodeValue(entry.bytes);
      })(),
    );
    expect(error.code).toMatch(/^(corrupt|truncated|too-large|out-of-range)$/);
  });

  it('a layer with a damaged entry gives every other entry when it is salvaged', async () => {
    await using reader = await openLayer(file.path);
    let damaged = 0;
    let entries = 0;
    for await (const item of reader.salvage()) {
      if (item.kind === 'entry') entries += 1;
      else damaged += 1;
      if (item.kind === 'damaged-entry') {
        expect(item.error).toMatchObject({ path: file.path });
        expect(item.error.offset).toBeTypeOf('number');
        expect(item.error.key).toMatch(/^[0-9A-F]{36}$/);
      }
    }
    expect(damaged).toBe(1);
    const fallback = file.kind === 'delta' && Number(file.id.slice(0, 2)) < 50 ? 1500 : 3;
    expect(entries).toBe((ENTRY_COUNTS[file.id.slice(0, 2)] ?? fallback) - 1);
  });

  it('damage is found by verifying', async () => {
    expect(await verifyLayer(file.path)).toMatchObject({ ok: false, errors: 1 });
  });
});

describe.each(FILES.filter(({ expect }) => expect === 'strict'))('$id: $wrong', (file) => {
  it('damage is found by verifying', async () => {
    const report = await verifyLayer(file.path);
    expect(report.ok).toBe(false);
    expect(report.errors).toBe(1);
  });

  it('damage of the order is noticed by a strict read', async () => {
    await using reader = await openLayer(file.path);
    await errorOf(drain(reader.entries()));
    await expectValidGet(file);
  });
});

describe.each(FILES.filter(({ expect }) => expect === 'accept'))('$id: $wrong', ({ path }) => {
  it('what is only unusual is read, with a warning', async () => {
    await using reader = await openLayer(path);
    expect((await drain(reader.entries())).length).toBeGreaterThan(0);
    expect(await verifyLayer(path)).toMatchObject({ ok: true, errors: 0, warnings: 1 });
  });
});

describe.each(FILES.filter(({ expect }) => expect === 'undetectable'))(
  '$id: $wrong',
  ({ path }) => {
    it('a doubtful file is read or refused, without harm', async () => {
      const report = await verifyLayer(path);
      expect(report.entries + report.errors).toBe(700);
    });
  },
);

it('every damaged file has a test', () => {
  const classes = new Set(FILES.map(({ expect }) => expect));
  expect([...classes].sort()).toEqual(
    ['accept', 'entry', 'index', 'open', 'strict', 'undetectable'].sort(),
  );
  expect(FILES.length).toBe(45);
});

/** A get may fail with a typed error, or give the right key; nothing else. */
async function expectValidGet({ path, probe }: CorruptFile): Promise<void> {
  await using reader = await openLayer(path);
  const [keyText = '', lsn] = probe;
  const key = parseKey(keyText);
  try {
    const entry = await reader.get(key, lsn === undefined ? undefined : parseLsn(lsn));
    expect(entry?.key).toEqual(key);
  } catch (error) {
    expect(isStorageError(error)).toBe(true);
  }
}

async function drain<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function errorOf(promise: Promise<unknown>): Promise<StorageError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof StorageError) return error;
    throw error;
  }
  throw new Error('expected a StorageError');
}

function lsnBytes(lsn: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(lsn);
  return bytes;
}
