import { describe, expect, test } from 'vitest';
import { BufferedWriter } from '../src/blob-writer/buffered-writer.ts';
import { CompressionPool } from '../src/blob-writer/compression-pool.ts';
import {
  checkBytes,
  checkChoice,
  checkCount,
  checkedItems,
  checkLimit,
  checkSignal,
  itemsOf,
} from '../src/check-options.ts';
import { BlockCache } from '../src/layers/disk-btree/block-cache.ts';
import { IndexStore } from '../src/layers/layer-file/index-store.ts';
import { openLayer } from '../src/layers/open-layer.ts';
import { decodeValue } from '../src/layers/value-format.ts';
import { verifyLayer } from '../src/layers/verify.ts';
import { MemoryFileSystem } from '../src/testing/memory-file-system.ts';
import { durableRename } from '../src/virtual-file/durable-rename.ts';
import { OpenFiles } from '../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../src/virtual-file/temporary-file.ts';
import { VirtualFile } from '../src/virtual-file/virtual-file.ts';
import { encodeDocument } from '../src/write-once/document.ts';
import { checkCompression } from '../src/zstd/compression.ts';
import { storageErrorOf, storageErrorThrownBy } from './support/storage-errors.ts';

/** What callers without types may give, and how an error names it. */
const NO_COUNTS: [given: unknown, named: string][] = [
  [Number.NaN, 'NaN'],
  [1.5, '1.5'],
  [-1, '-1'],
  [2 ** 53, '9007199254740992'],
  ['5', "'5'"],
  [5n, '5'],
  [null, 'null'],
  [true, 'boolean'],
  [{ valueOf: () => 5 }, 'object'],
  [Symbol('five'), 'symbol'],
  [Object.create(null), 'object'],
];

describe.each(NO_COUNTS)('%o', (given, actual) => {
  const expected = 'an integer from 0';

  test('is neither a count nor a limit', () => {
    for (const check of [checkCount, checkLimit]) {
      const error = storageErrorThrownBy(() => check('something', given));
      expect(error).toMatchObject({ code: 'invalid-input', expected, actual });
      expect(error.message).toBe(`something: expected ${expected}, found ${actual}`);
    }
  });

  test.each<[string, (value: never) => unknown]>([
    ['the table of descriptors', (capacity) => new OpenFiles({ capacity })],
    ['the cache of blocks', (capacity) => new BlockCache(capacity)],
    ['the cache of values', (valueCapacity) => new BlockCache(1, { valueCapacity })],
    ['threads', (threadCount) => new CompressionPool({ threadCount })],
    ['the start of threads', (startAfter) => new CompressionPool({ startAfter })],
    ['items of a list', (maximumItems) => decodeValue(new Uint8Array(), { maximumItems })],
    ['a document', (maximumDepth) => encodeDocument({}, { limits: { maximumDepth } })],
    [
      'memory for the index',
      (memoryLimit) =>
        new IndexStore({ memoryLimit, createScratch: () => Promise.reject(new Error()) }),
    ],
  ])('a capacity that is not an integer is refused for %s', (_, take) => {
    const error = storageErrorThrownBy(() => take(given as never));
    expect(error).toMatchObject({ code: 'invalid-input', actual });
    expect(error.expected).toMatch(/^an integer from -?\d+( to \d+)?$/);
  });

  test.each(['maximumBlobLength', 'maximumWindowSize', 'maximumFindings'])(
    'a count that is wrong is refused as %s before a file is opened',
    async (option) => {
      const error = await storageErrorOf(verifyLayer('/missing', { [option]: given }));
      expect(error).toMatchObject({ code: 'invalid-input', actual });
    },
  );

  test.each(['bufferSize', 'bufferCount', 'startOffset', 'syncEvery'])(
    'a count that is wrong is refused as %s of a buffered writer',
    async (option) => {
      const openFiles = new OpenFiles({ fileSystem: new MemoryFileSystem() });
      await using file = await VirtualFile.open('/file', { write: true, create: true, openFiles });
      const error = storageErrorThrownBy(() => new BufferedWriter(file, { [option]: given }));
      expect(error).toMatchObject({ code: 'invalid-input', actual });
    },
  );
});

test('a value that is not a number is not converted to one', () => {
  const asked: string[] = [];
  const given = { valueOf: () => asked.push('valueOf'), toString: () => asked.push('toString') };
  storageErrorThrownBy(() => checkCount('something', given));
  expect(asked).toEqual([]);
});

test.each([undefined, null, {}, 'zstd', { level: 1 }])(
  '%o is refused as a compression',
  (given) => {
    const error = storageErrorThrownBy(() => checkCompression(given as never));
    expect(error).toMatchObject({ code: 'invalid-input', expected: "'none' or 'zstd'" });
  },
);

test.each([Number.NaN, 1.5, 23, '3'])('%o is refused as a level of zstd', (given) => {
  const level = given as number;
  const error = storageErrorThrownBy(() => checkCompression({ kind: 'zstd', level }));
  expect(error.message).toMatch(/^zstd level: expected an integer from -?\d+ to 22, found /);
});

test.each([
  [1, { from: 2 }, 'an integer from 2'],
  [9, { to: 8 }, 'an integer from 0 to 8'],
  [Number.POSITIVE_INFINITY, {}, 'an integer from 0'],
])('%d is refused as a count within %o', (given, bounds, expected) => {
  const error = storageErrorThrownBy(() => checkCount('something', given, bounds));
  expect(error).toMatchObject({ code: 'invalid-input', expected, actual: String(given) });
});

test('what is left out, and Infinity, are limits; a bound leaves no room for it', () => {
  for (const given of [undefined, 0, 5, Number.POSITIVE_INFINITY]) checkLimit('something', given);
  const infinite = Number.POSITIVE_INFINITY;
  const error = storageErrorThrownBy(() => checkLimit('something', infinite, { to: 8 }));
  expect(error).toMatchObject({ expected: 'an integer from 0 to 8', actual: 'Infinity' });
});

describe('a choice', () => {
  test.each<[unknown, string]>([
    ['neither', "'neither'"],
    ['', "''"],
    [null, 'null'],
    [1, '1'],
    [{}, 'object'],
  ])('a choice of %o is refused where a or b is expected', (given, actual) => {
    const error = storageErrorThrownBy(() => checkChoice('which', given as 'a', ['a', 'b']));
    expect(error).toMatchObject({ code: 'invalid-input', expected: "'a' or 'b'", actual });
    expect(error.message).toBe(`which: expected 'a' or 'b', found ${actual}`);
  });

  test('a choice that is left out, or is one of those expected, is accepted', () => {
    for (const choice of [undefined, 'a', 'b']) {
      expect(() => checkChoice('which', choice, ['a', 'b'])).not.toThrow();
    }
  });

  test.each(['readMode', 'ioMode', 'nameCheck'])(
    'an unknown choice of %s is refused by readers',
    async (option) => {
      for (const use of [openLayer, verifyLayer]) {
        const error = await storageErrorOf(use('/missing', { [option]: 'Sync' }));
        expect(error).toMatchObject({ code: 'invalid-input', actual: "'Sync'" });
        expect(error.message).toMatch(`${option}: expected '`);
      }
    },
  );

  test.each(['durability', 'ioMode'])(
    'an unknown choice of %s is refused when a file is opened',
    async (option) => {
      const fileSystem = new MemoryFileSystem();
      const openFiles = new OpenFiles({ fileSystem });
      const options = { write: true, create: true, openFiles, [option]: 'none' };
      const error = await storageErrorOf(VirtualFile.open('/file', options));
      expect(error).toMatchObject({ code: 'invalid-input', actual: "'none'" });
      expect(fileSystem.operationCount).toBe(0);
    },
  );

  test('a choice of what comes after a rename is refused before anything is done', async () => {
    const fileSystem = new MemoryFileSystem();
    const openFiles = new OpenFiles({ fileSystem });
    await using temporary = await TemporaryFile.create('/file.temporary', { openFiles });
    const count = fileSystem.operationCount;
    const options = { afterwards: 'closed' as 'close' };
    const error = await storageErrorOf(durableRename(temporary, '/file', options));
    expect(error).toMatchObject({ code: 'invalid-input', outcome: 'not-applied' });
    expect(fileSystem.operationCount).toBe(count);
  });

  test('a choice of a compression that there is not is refused', () => {
    const error = storageErrorThrownBy(() => checkCompression({ kind: 'gzip' as 'none' }));
    expect(error).toMatchObject({ expected: "'none' or 'zstd'", actual: "'gzip'" });
  });

  test('a choice of direct transfers is refused by a file system in memory', () => {
    const directTransfers = 'refused' as 'supported';
    const error = storageErrorThrownBy(() => new MemoryFileSystem({ directTransfers }));
    expect(error).toMatchObject({ code: 'invalid-input', actual: "'refused'" });
  });
});

const FAILURE = new Error('of the caller');
const stepping = (next: unknown, end?: unknown): never =>
  ({ [Symbol.iterator]: () => ({ next, return: end }) }) as never;

test.each<[string, never]>([
  ['has no iterator', { [Symbol.iterator]: () => 5 } as never],
  ['has an iterator without next', stepping(5)],
  ['has steps that are not objects', stepping(() => 5)],
  ['only inherits from an array with a type', Object.create(Uint8Array.prototype) as never],
])('an iterable that %s is invalid-input', (_, iterable) => {
  const error = storageErrorThrownBy(() => [...itemsOf('names', iterable)]);
  expect(error).toMatchObject({ code: 'invalid-input', message: expect.stringMatching('names') });
});

test('what an iterator throws is passed on', () => {
  const failing = stepping(() => {
    throw FAILURE;
  });
  expect(() => [...itemsOf('names', failing)]).toThrow(FAILURE);
});

test('an endless iterable is refused at its first wrong item, and ended', () => {
  let count = 0;
  let isEnded = false;
  const endless = stepping(
    () => {
      count += 1;
      return { done: false, value: count };
    },
    () => {
      isEnded = true;
      return {};
    },
  );
  const refuse = (item: number): void => checkCount('item', item, { to: 2 });
  expect(storageErrorThrownBy(() => checkedItems('items', endless, refuse)).code).toBe(
    'invalid-input',
  );
  expect([count, isEnded]).toEqual([3, true]);
});

test('bytes whose buffer was transferred are invalid-input', () => {
  const bytes = new Uint8Array(8);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  expect(storageErrorThrownBy(() => checkBytes(bytes, 'value')).code).toBe('invalid-input');
  expect(() => checkBytes(new Uint8Array(), 'value')).not.toThrow();
});

test.each<[string, unknown]>([
  ['inherits from AbortSignal', Object.create(AbortSignal.prototype)],
  ['cannot be listened to', { aborted: false, addEventListener: 5, removeEventListener() {} }],
  ['keeps its listeners', { aborted: false, addEventListener() {} }],
  ['does not say whether it has fired', { addEventListener() {}, removeEventListener() {} }],
])('a signal that %s is invalid-input', (_, signal) => {
  expect(storageErrorThrownBy(() => checkSignal(signal)).code).toBe('invalid-input');
});
