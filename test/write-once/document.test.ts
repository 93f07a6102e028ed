import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crc32cOf } from '../../src/checksum.ts';
import { StorageError } from '../../src/errors.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import {
  type DocumentLimits,
  decodeDocument,
  encodeDocument,
  readDocument,
  writeDocument,
} from '../../src/write-once/document.ts';
import type { DocumentMap, DocumentValue } from '../../src/write-once/document-value.ts';
import { checkMsgpack } from '../../src/write-once/msgpack-limits.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

/** A document with the given bytes for its map, and a right checksum. */
function framed(...map: number[]): Uint8Array {
  const bytes = new Uint8Array(16 + map.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x4c464443);
  view.setUint16(8, 1);
  view.setUint32(12, map.length);
  bytes.set(map, 16);
  return withChecksum(bytes);
}

function withChecksum(bytes: Uint8Array): Uint8Array {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(4, crc32cOf(bytes.subarray(8)));
  return bytes;
}

function changed(change: (view: DataView) => void, checksum: 'right' | 'stale'): Uint8Array {
  const bytes = encodeDocument({ a: 1 });
  change(new DataView(bytes.buffer));
  return checksum === 'right' ? withChecksum(bytes) : bytes;
}

function errorOf(bytes: Uint8Array, limits?: Partial<DocumentLimits>) {
  const { code, offset } = storageErrorThrownBy(() => decodeDocument(bytes, { limits }));
  return { code, offset };
}

/** A map with one key `a`, whose value follows. */
const KEY_A = [0x81, 0xa1, 0x61];

describe('the bytes', () => {
  test('the bytes of a document are a frame and a map', () => {
    expect(Buffer.from(encodeDocument({ a: 1 })).toString('hex')).toBe(
      [
        '4c464443', // magic
        crc32cOf(Uint8Array.of(0, 1, 0, 0, 0, 0, 0, 4, 0x81, 0xa1, 0x61, 1)) // checksum
          .toString(16)
          .padStart(8, '0'),
        '0001', // format version
        '0000', // reserved
        '00000004', // length
        '81a16101', // { a: 1 }
      ].join(''),
    );
  });

  test('the bytes of a document give back what was encoded, whatever it was', () => {
    const key = fc.string({ unit: 'grapheme' }).filter((text) => text !== '__proto__');
    const scalar: fc.Arbitrary<DocumentValue> = fc.oneof(
      fc.constant(null),
      fc.boolean(),
      fc.double().filter((value) => !Object.is(value, -0)),
      fc.integer(),
      fc.maxSafeInteger(),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
      fc.string({ unit: 'grapheme' }),
      fc.uint8Array(),
    );
    const { map } = fc.letrec<{ value: DocumentValue; map: DocumentMap }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        scalar,
        fc.array(tie('value'), { maxLength: 20 }),
        tie('map'),
      ),
      map: fc.dictionary(key, tie('value'), { maxKeys: 20 }),
    }));
    fc.assert(
      fc.property(map, (document) => {
        expect(decodeDocument(encodeDocument(document))).toEqual(document);
      }),
    );
  });

  test.each([0n, 1n, 2n ** 53n + 1n, 2n ** 64n - 1n, -1n, -(2n ** 63n)])(
    'a document keeps the 64-bit integer %s, and that it is one',
    (value) => {
      expect(decodeDocument(encodeDocument({ value }))['value']).toBe(value);
    },
  );

  test('the bytes of a document are the same for a map without prototype', () => {
    const document: DocumentMap = Object.create(null);
    document['a'] = 1;
    expect(encodeDocument(document)).toEqual(encodeDocument({ a: 1 }));
  });
});

describe('what is decoded', () => {
  test('a decoded document has no prototype, at any level', () => {
    const document = decodeDocument(encodeDocument({ a: { b: 1 }, list: [{}] }));
    expect(document['constructor']).toBeUndefined();
    expect(Object.getPrototypeOf(document)).toBeNull();
    expect(Object.getPrototypeOf(document['a'])).toBeNull();
    expect(JSON.stringify(document)).toBe('{"a":{"b":1},"list":[{}]}');
  });

  test('a decoded document keeps the names that every object has', () => {
    const document = { constructor: 1, toString: 'text', hasOwnProperty: null };
    expect(Object.entries(decodeDocument(encodeDocument(document)))).toEqual(
      Object.entries(document),
    );
  });

  test('a decoded document has byte strings that are views', () => {
    const bytes = encodeDocument({ a: Uint8Array.of(1, 2) });
    const { a } = decodeDocument(bytes);
    bytes.fill(9);
    expect(a).toEqual(Uint8Array.of(9, 9));
  });
});

describe('every error path of the frame', () => {
  test.each<[string, Uint8Array, string, number]>([
    ['no bytes', new Uint8Array(0), 'truncated', 0],
    ['a cut frame', encodeDocument({}).subarray(0, 15), 'truncated', 15],
    ['a cut map', encodeDocument({ a: 1 }).subarray(0, 19), 'truncated', 19],
    ['a header of another file', new Uint8Array(16), 'corrupt', 0],
    ['a wrong magic', changed((view) => view.setUint8(0, 0), 'right'), 'corrupt', 0],
    ['a wrong checksum', changed((view) => view.setUint8(7, 0), 'stale'), 'corrupt', 4],
    ['a changed map', changed((view) => view.setUint8(19, 2), 'stale'), 'corrupt', 4],
    ['a changed version', changed((view) => view.setUint16(8, 2), 'stale'), 'corrupt', 4],
    ['another version', changed((view) => view.setUint16(8, 2), 'right'), 'unsupported-version', 8],
    ['a reserved field', changed((view) => view.setUint16(10, 1), 'right'), 'corrupt', 10],
    [
      'a length of 4 GiB',
      changed((view) => view.setUint32(12, 0xffff_ffff), 'right'),
      'too-large',
      12,
    ],
    ['a longer length', changed((view) => view.setUint32(12, 5), 'right'), 'truncated', 20],
    ['a shorter length', changed((view) => view.setUint32(12, 3), 'right'), 'corrupt', 19],
    [
      'bytes after the map',
      withChecksum(Buffer.concat([encodeDocument({ a: 1 }), Buffer.alloc(1)])),
      'corrupt',
      20,
    ],
  ])('a document file with %s is refused with its offset', (_, bytes, code, offset) => {
    expect(errorOf(bytes)).toEqual({ code, offset });
  });

  test('no change of a single byte goes unnoticed', () => {
    const bytes = encodeDocument({ name: 'value', list: [1, 2, 3] });
    for (let offset = 0; offset < bytes.length; offset += 1) {
      const damaged = Uint8Array.from(bytes);
      damaged[offset] = (bytes[offset] ?? 0) ^ 0x10;
      expect(['corrupt', 'truncated', 'too-large']).toContain(errorOf(damaged).code);
    }
  });
});

describe('a hostile map', () => {
  test.each<[string, number[], string, number]>([
    ['nothing', [], 'truncated', 16],
    ['an array', [0x90], 'corrupt', 16],
    ['a number', [0x01], 'corrupt', 16],
    ['nil', [0xc0], 'corrupt', 16],
    ['two maps', [0x80, 0x80], 'corrupt', 17],
    ['a key without a value', [0x81, 0xa1, 0x61], 'truncated', 19],
    ['a map without the bytes for a pair', [0x81, 0xa0], 'truncated', 16],
    ['a key that is a number', [0x81, 0x01, 0x01], 'corrupt', 17],
    ['a key that is bytes', [0x81, 0xc4, 0x00, 0x01], 'corrupt', 17],
    ['a key that is an array', [0x81, 0x90, 0x01], 'corrupt', 17],
    ['the key __proto__', [0x81, 0xa9, ...Buffer.from('__proto__'), 0x80], 'corrupt', 17],
    [
      'the key __proto__ in a long form',
      [0x81, 0xd9, 9, ...Buffer.from('__proto__'), 0x80],
      'corrupt',
      17,
    ],
    ['a type that is never used', [...KEY_A, 0xc1], 'corrupt', 19],
    ['an extension', [...KEY_A, 0xd4, 0x01, 0x00], 'corrupt', 19],
    ['a time', [...KEY_A, 0xd6, 0xff, 0, 0, 0, 0], 'corrupt', 19],
    ['a string that is no UTF-8', [...KEY_A, 0xa1, 0xff], 'corrupt', 19],
    ['a string that goes on', [...KEY_A, 0xa5, 0x61], 'truncated', 19],
    ['a string of 4 GiB', [...KEY_A, 0xdb, 0xff, 0xff, 0xff, 0xff], 'too-large', 19],
    ['bytes of 4 GiB', [...KEY_A, 0xc6, 0xff, 0xff, 0xff, 0xff], 'too-large', 19],
    ['a cut length', [...KEY_A, 0xdb, 0x00], 'truncated', 19],
    ['a cut integer', [...KEY_A, 0xcf, 0, 0, 0, 0, 0, 0, 0], 'truncated', 19],
    ['an array of 4 billion', [...KEY_A, 0xdd, 0xff, 0xff, 0xff, 0xff], 'truncated', 19],
    ['a map of 4 billion', [0xdf, 0xff, 0xff, 0xff, 0xff], 'truncated', 16],
  ])(
    'a document that holds %s in place of a valid map is refused with its offset',
    (_, map, code, offset) => {
      expect(errorOf(framed(...map))).toEqual({ code, offset });
    },
  );

  test('a hostile map of array headers that all claim what is left is refused at the second', () => {
    const headers = Array.from({ length: 2000 }, () => [0xdc, 0x10, 0x00]).flat();
    expect(errorOf(framed(...KEY_A, ...headers))).toEqual({ code: 'truncated', offset: 22 });
  });

  test('a hostile map of a million levels is refused at the limit', () => {
    const map = new Array<number>(1_000_000).fill(0x91);
    const bytes = new Uint8Array(framed(...KEY_A));
    const all = new Uint8Array(bytes.length + map.length + 1).fill(0x91);
    all.set(bytes);
    all[all.length - 1] = 0xc0;
    new DataView(all.buffer).setUint32(12, all.length - 16);
    expect(errorOf(withChecksum(all))).toEqual({ code: 'too-large', offset: 19 + 63 });
  });

  test.each<[string, DocumentValue, Partial<DocumentLimits>, Partial<DocumentLimits>]>([
    ['depth', [[1]], { maximumDepth: 3 }, { maximumDepth: 2 }],
    ['count', [1, 2], { maximumCount: 5 }, { maximumCount: 4 }],
    ['length of a string', 'four', { maximumStringLength: 4 }, { maximumStringLength: 3 }],
    [
      'length of bytes',
      Uint8Array.of(1, 2),
      { maximumStringLength: 2 },
      { maximumStringLength: 1 },
    ],
    ['length of all', 1, { maximumLength: 20 }, { maximumLength: 19 }],
  ])('a map at the limit of %s is accepted, beyond it is not', (_, value, enough, tooLittle) => {
    const document = { a: value };
    const bytes = encodeDocument(document, { limits: enough });
    expect(decodeDocument(bytes, { limits: enough })).toEqual(document);
    expect(errorOf(bytes, tooLittle).code).toBe('too-large');
    const encoding = () => encodeDocument(document, { limits: tooLittle });
    expect(storageErrorThrownBy(encoding).code).toBe('too-large');
  });

  test.each([
    ['a depth without an end', { maximumDepth: Number.POSITIVE_INFINITY }],
    ['a depth that the stack may not have', { maximumDepth: 1001 }],
    ['a depth that is no number', { maximumDepth: Number.NaN }],
    ['a length that is no number', { maximumLength: Number.NaN }],
    ['a negative count', { maximumCount: -1 }],
  ])('%s is refused as a limit', async (_, limits) => {
    const openFiles = new OpenFiles({ fileSystem: new MemoryFileSystem() });
    const bytes = encodeDocument({ a: 1 });
    for (const use of [
      () => encodeDocument({ a: 1 }, { limits }),
      () => decodeDocument(bytes, { limits }),
    ]) {
      expect(storageErrorThrownBy(use).code).toBe('invalid-input');
    }
    for (const use of [
      writeDocument('/document', { a: 1 }, { openFiles, limits }),
      readDocument('/document', { openFiles, limits }),
    ]) {
      expect((await storageErrorOf(use)).code).toBe('invalid-input');
    }
  });

  test('the deepest document that may be allowed comes back', () => {
    let deep: DocumentValue = 1;
    for (let level = 1; level < 1000; level += 1) deep = [deep];
    const limits = { maximumDepth: 1000 };
    expect(decodeDocument(encodeDocument({ deep }, { limits }), { limits })).toEqual({ deep });
  });

  test('a hostile map that is undefined is the default one', () => {
    const limits = { maximumDepth: undefined, maximumLength: undefined };
    const document = { a: 1 };
    expect(decodeDocument(encodeDocument(document, { limits }), { limits })).toEqual(document);
    let deep: DocumentValue = null;
    for (let depth = 0; depth < 500; depth += 1) deep = [deep];
    const encoding = () => encodeDocument({ deep }, { limits });
    expect(storageErrorThrownBy(encoding).code).toBe('too-large');
  });
});

describe('the walk over MessagePack', () => {
  const limits = { maximumDepth: 10, maximumCount: 1000, maximumStringLength: 100_000 };

  test.each<[string, unknown]>([
    ['a string of 31 bytes', 'x'.repeat(31)],
    ['a string of 32 bytes', 'x'.repeat(32)],
    ['a string of 255 bytes', 'x'.repeat(255)],
    ['a string of 256 bytes', 'x'.repeat(256)],
    ['a string of 65,536 bytes', 'x'.repeat(65_536)],
    ['256 bytes', new Uint8Array(256)],
    ['65,536 bytes', new Uint8Array(65_536)],
    ['15 elements', new Array(15).fill(0)],
    ['16 elements', new Array(16).fill(0)],
    ['16 pairs', Object.fromEntries(Array.from({ length: 16 }, (_, index) => [index, index]))],
    [
      'integers of all sizes',
      [0, 127, 128, 256, 65_536, 2 ** 32, -1, -33, -129, -32_769, -(2 ** 31) - 1],
    ],
    ['floats', [1.5, Number.NaN, Number.POSITIVE_INFINITY]],
    ['nothing much', [null, true, false, '', [], {}]],
  ])('the walk over MessagePack ends where the encoder ended: %s', (_, value) => {
    const bytes = encode(value);
    checkMsgpack(bytes, limits);
    for (const cut of [1, 2, 5]) {
      if (cut >= bytes.length) continue;
      const rest = bytes.subarray(0, bytes.length - cut);
      expect(storageErrorThrownBy(() => checkMsgpack(rest, limits)).code).toBe('truncated');
    }
  });

  function isAccepted(bytes: Uint8Array): boolean {
    try {
      checkMsgpack(bytes, limits);
      return true;
    } catch (error) {
      if (error instanceof StorageError) return false;
      throw error;
    }
  }

  test('the walk over MessagePack accepts nothing that the decoder refuses', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        if (isAccepted(bytes)) decode(bytes, { useBigInt64: true });
      }),
      { numRuns: rounds(2000) },
    );
  });
});

describe('a document that cannot be encoded', () => {
  const circular: DocumentValue[] = [];
  circular.push(circular);
  let shared: DocumentValue[] = [];
  for (let level = 0; level < 60; level += 1) shared = [shared, shared];

  test.each<[string, unknown, string]>([
    ['a list in place of a map', [1], 'invalid-input'],
    ['undefined', { a: undefined }, 'invalid-input'],
    ['a hole', { a: new Array(1) }, 'invalid-input'],
    ['a function', { a: () => 1 }, 'invalid-input'],
    ['a symbol', { a: Symbol('a') }, 'invalid-input'],
    ['a time', { a: new Date(0) }, 'invalid-input'],
    ['a Map', { a: new Map() }, 'invalid-input'],
    ['another typed array', { a: new Uint16Array(1) }, 'invalid-input'],
    ['an object of a class', { a: new (class Thing {})() }, 'invalid-input'],
    ['an integer of 65 bits', { a: 2n ** 64n }, 'invalid-input'],
    ['a negative integer of 65 bits', { a: -(2n ** 63n) - 1n }, 'invalid-input'],
    ['a lone surrogate', { a: '\udc00' }, 'invalid-input'],
    ['a lone surrogate in a key', { '\ud800': 1 }, 'invalid-input'],
    ['the key __proto__', JSON.parse('{"__proto__":1}'), 'invalid-input'],
    ['a list that holds itself', { a: circular }, 'too-large'],
    ['a list that holds another one often', { a: shared }, 'too-large'],
  ])('a document that is or holds %s cannot be encoded', (_, document, code) => {
    const encoding = () => encodeDocument(document as DocumentMap);
    expect(storageErrorThrownBy(encoding).code).toBe(code);
  });
});

describe('a document file', () => {
  test('a document file is written and read, and errors of its content name it', async () => {
    const fileSystem = new MemoryFileSystem();
    const openFiles = new OpenFiles({ fileSystem });
    await writeDocument('/document', { a: 1 }, { openFiles });
    expect(await readDocument('/document', { openFiles })).toEqual({ a: 1 });
    fileSystem.createFile('/damaged', framed(0x90));
    expect(await storageErrorOf(readDocument('/damaged', { openFiles }))).toMatchObject({
      code: 'corrupt',
      path: '/damaged',
      offset: 16,
    });
    expect(fileSystem.openPaths).toEqual([]);
  });

  test('a document file that is larger than the limit is not read', async () => {
    const fileSystem = new MemoryFileSystem();
    const openFiles = new OpenFiles({ fileSystem });
    await writeDocument('/document', { a: 1 }, { openFiles });
    const reading = readDocument('/document', { openFiles, limits: { maximumLength: 19 } });
    expect(await storageErrorOf(reading)).toMatchObject({ code: 'too-large', path: '/document' });
  });
});
