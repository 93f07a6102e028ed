import { describe, expect, test } from 'vitest';
import type { StorageErrorCode } from '../../src/errors.ts';
import { isCommonPrefix, type ObjectStore } from '../../src/object-store/object-store.ts';
import { readWhole } from '../../src/object-store/read-whole.ts';
import { CREDENTIALS, type Fault, type S3Server, startS3, storeOf } from '../support/s3-server.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const BYTES = Uint8Array.from({ length: 100_000 }, (_, index) => (index * 7) % 251);
const PAGE = '<!DOCTYPE html><html><body>Please log in</body></html>';
const HTML = { 'content-type': 'text/html' };

async function withObject(options = {}): Promise<{ server: S3Server; store: ObjectStore }> {
  const started = await startS3({ timeoutMs: 5000, ...options });
  started.server.put('a', BYTES);
  return started;
}

/** The fault meets only the first requests. */
function first(count: number, fault: Fault) {
  return (_: unknown, number: number): Fault | undefined => (number <= count ? fault : undefined);
}

async function keysOf(store: ObjectStore, prefix = ''): Promise<string[]> {
  const keys = [];
  for await (const item of store.list(prefix))
    keys.push(isCommonPrefix(item) ? item.prefix : item.key);
  return keys;
}

const PASSING: [string, Fault][] = [
  ['503 SlowDown', { kind: 'status', status: 503, code: 'SlowDown' }],
  ['500', { kind: 'status', status: 500 }],
  ['429', { kind: 'status', status: 429, headers: { 'retry-after': '0' } }],
  ['400 RequestTimeout', { kind: 'status', status: 400, code: 'RequestTimeout' }],
  ['a reset', { kind: 'cut' }],
  ['a body that is cut', { kind: 'cut', after: 10_000 }],
];

describe('a fault that passes', () => {
  test.each(PASSING)(
    'after %s, a read, a head and a listing are tried again and succeed',
    async (_, fault) => {
      const { server, store } = await withObject();
      server.fault = first(2, fault);
      const target = new Uint8Array(50_000);
      await store.readRanges('a', [{ target, offset: 1000 }]);
      expect(Buffer.compare(target, BYTES.slice(1000, 51_000))).toBe(0);
      expect(server.requests).toHaveLength(3);
      server.reset();
      expect(await store.head('a')).toMatchObject({ size: BYTES.length });
      server.reset();
      expect(await keysOf(store)).toEqual(['a']);
    },
  );

  test('a body that is cut is continued where it ended', async () => {
    const { server, store } = await withObject();
    server.fault = first(1, { kind: 'cut', after: 40_000 });
    expect(Buffer.compare((await store.readStart('a', 100_000)).bytes, BYTES)).toBe(0);
    expect(server.requests.map(({ range }) => range)).toEqual([
      'bytes=0-99999',
      'bytes=40000-99999',
    ]);
    expect(server.requests[1]?.headers['if-match']).toBe(server.objects.get('a')?.etag);
  });

  test('a fault that does not pass is network after the number of attempts', async () => {
    const { server, store } = await withObject({ attempts: 3 });
    server.fault = () => ({ kind: 'status', status: 503, code: 'SlowDown' });
    const error = await storageErrorOf(store.head('a'));
    expect(error).toMatchObject({ code: 'network', path: 's3://layers/a' });
    expect(error.message).toContain('SlowDown');
    expect(server.requests).toHaveLength(3);
  });

  test.each([undefined, 10_000])(
    'a server that stalls after %s bytes is given up',
    async (after) => {
      // On a busy machine, a server that does not stall may take as long.
      const { server, store: patient } = await withObject({ timeoutMs: 200, attempts: 20 });
      const stall: Fault = after === undefined ? { kind: 'stall' } : { kind: 'stall', after };
      server.fault = first(1, stall);
      expect(Buffer.compare((await patient.readStart('a', 100_000)).bytes, BYTES)).toBe(0);
      server.fault = () => stall;
      const store = storeOf(server, { timeoutMs: 200, attempts: 2 });
      const error = await storageErrorOf(store.readStart('a', 100_000));
      expect(error).toMatchObject({ code: 'network', path: 's3://layers/a' });
      expect(error.message).toContain('no byte for 200 ms');
    },
  );
});

describe('what is not absence', () => {
  test.each<[string, Fault, StorageErrorCode]>([
    ['a 404 of a proxy', { kind: 'status', status: 404, body: PAGE, headers: HTML }, 'network'],
    ['a 404 without a body', { kind: 'status', status: 404 }, 'network'],
    ['a bucket that is missing', { kind: 'status', status: 404, code: 'NoSuchBucket' }, 'io'],
    ['403', { kind: 'status', status: 403, code: 'AccessDenied' }, 'denied'],
    ['403 of a proxy', { kind: 'status', status: 403, body: PAGE }, 'denied'],
    ['401', { kind: 'status', status: 401 }, 'denied'],
    ['a wrong signature', { kind: 'status', status: 403, code: 'SignatureDoesNotMatch' }, 'denied'],
    ['an unknown status', { kind: 'status', status: 418 }, 'network'],
    ['a page with 200', { kind: 'status', status: 200, body: PAGE, headers: HTML }, 'network'],
    [
      'a redirect',
      { kind: 'status', status: 307, headers: { location: 'http://127.0.0.1:1/' } },
      'network',
    ],
    ['503', { kind: 'status', status: 503 }, 'network'],
    ['a connection that breaks', { kind: 'cut' }, 'network'],
  ])('%s is an error, not absence', async (_, fault, code) => {
    const { server, store } = await withObject({ attempts: 2 });
    server.fault = () => fault;
    const reads = [
      store.head('missing'),
      store.readStart('missing', 1),
      store.readRanges('missing', [{ target: new Uint8Array(1), offset: 0 }]),
      keysOf(store, 'missing'),
    ];
    for (const outcome of await Promise.allSettled(reads)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code } });
    }
  });

  test('a port without a listener is a network error, not absence', async () => {
    const { server } = await withObject();
    const store = storeOf(server, { attempts: 2 });
    await server.stop();
    expect(await storageErrorOf(store.head('a'))).toMatchObject({
      code: 'network',
      errno: 'ECONNREFUSED',
    });
  });

  test('a response of NoSuchKey is reported as not found', async () => {
    const { store } = await withObject();
    expect(await store.head('missing')).toBeUndefined();
    const error = await storageErrorOf(store.readStart('missing', 1));
    expect(error).toMatchObject({ code: 'not-found', path: 's3://layers/missing' });
    expect(await keysOf(store, 'missing')).toEqual([]);
  });
});

describe('a wrong response', () => {
  const headers = (name: string, value: string | undefined): Fault => ({
    kind: 'headers',
    headers: { [name]: value },
  });
  test.each<[string, Fault]>([
    ['a range that starts elsewhere', headers('content-range', 'bytes 1-50000/100000')],
    ['a range that is longer', headers('content-range', 'bytes 0-50000/100000')],
    ['a range that is shorter', headers('content-range', 'bytes 0-49998/100000')],
    ['a range beyond the size', headers('content-range', 'bytes 0-49999/40000')],
    ['a range of unknown size', headers('content-range', 'bytes 0-49999/*')],
    ['no range', headers('content-range', undefined)],
    ['a range of words', headers('content-range', 'bytes all')],
    ['an encoding', headers('content-encoding', 'gzip')],
    ['bytes after the range', { kind: 'more' }],
  ])('a response with %s is a network error', async (_, fault) => {
    const { server, store } = await withObject({ attempts: 2 });
    server.fault = () => fault;
    const target = new Uint8Array(50_000);
    const reading = store.readRanges('a', [{ target, offset: 0 }]);
    expect(await storageErrorOf(reading)).toMatchObject({ code: 'network', path: 's3://layers/a' });
  });

  test.each(['10', '60000'])(
    'a response with a wrong Content-Length of %s is a network error',
    async (length) => {
      const { server, store } = await withObject({ attempts: 1, timeoutMs: 300 });
      server.fault = () => headers('content-length', length);
      const reading = store.readStart('a', 50_000);
      expect((await storageErrorOf(reading)).code).toBe('network');
    },
  );
});

describe('an object that changes', () => {
  test.each([
    [
      'readRanges',
      (store: ObjectStore, etag: string) =>
        store.readRanges('a', [{ target: new Uint8Array(9), offset: 0 }], { etag }),
    ],
    ['readStart', (store: ObjectStore, etag: string) => store.readStart('a', 9, { etag })],
  ])('%s of an object that changed refuses another etag than the expected one', async (_, read) => {
    const { server, store } = await withObject();
    const { etag = '' } = (await store.head('a')) ?? {};
    await read(store, etag);
    server.put('a', BYTES.slice(1));
    expect((await storageErrorOf(read(store, etag))).code).toBe('changed');
  });

  test('an object that changes is noticed where the server ignores the condition, too', async () => {
    const { server, store } = await withObject();
    server.fault = () => ({ kind: 'headers', headers: { etag: '"another"' } });
    const { etag } = server.objects.get('a') ?? { etag: '' };
    expect((await storageErrorOf(store.readStart('a', 9, { etag }))).code).toBe('changed');
  });

  test('an object that changes between two halves of a body is not put together', async () => {
    const { server, store } = await withObject();
    server.fault = (_, number) => {
      if (number === 2) server.put('a', BYTES.toReversed());
      return number === 1 ? { kind: 'cut', after: 40_000 } : undefined;
    };
    expect((await storageErrorOf(store.readStart('a', 100_000))).code).toBe('changed');
  });

  test('an object that changes and is gone is not found', async () => {
    const { server, store } = await withObject();
    server.fault = (_, number) => {
      if (number === 2) server.objects.delete('a');
      return number === 1 ? { kind: 'cut', after: 40_000 } : undefined;
    };
    expect((await storageErrorOf(store.readStart('a', 100_000))).code).toBe('not-found');
  });
});

describe('what the client learns from a response', () => {
  test('the clock of the server is adopted', async () => {
    const { server, store } = await withObject();
    server.clockOffsetMs = -60 * 60_000;
    expect(await store.head('a')).toMatchObject({ size: BYTES.length });
    expect(server.requests).toHaveLength(2);
    await store.head('a');
    expect(server.requests).toHaveLength(3);
  });

  test('a clock that differs is denied with the difference if it cannot be adopted', async () => {
    const { server, store } = await withObject({ attempts: 1 });
    server.clockOffsetMs = 60 * 60_000;
    const error = await storageErrorOf(store.head('a'));
    expect(error.code).toBe('denied');
    expect(error.message).toMatch(/differs from the store's by 3(599|600) s/);
  });

  test('the region of the bucket is adopted', async () => {
    const { server, store } = await withObject();
    server.region = 'eu-central-1';
    const elsewhere: Fault = {
      kind: 'status',
      status: 400,
      code: 'AuthorizationHeaderMalformed',
      headers: { 'x-amz-bucket-region': 'eu-central-1' },
    };
    server.fault = ({ headers }) =>
      headers.authorization?.includes('eu-central-1') ? undefined : elsewhere;
    const heads = await Promise.all([store.head('a'), store.head('a')]);
    for (const head of heads) expect(head).toMatchObject({ size: BYTES.length });
  });

  test('expired credentials are requested again', async () => {
    let asked = 0;
    const credentials = async () => {
      asked += 1;
      return { ...CREDENTIALS, sessionToken: `token${asked}` };
    };
    const { server, store } = await withObject({ credentials });
    server.fault = ({ headers }) =>
      headers['x-amz-security-token'] === 'token2'
        ? undefined
        : { kind: 'status', status: 400, code: 'ExpiredToken' };
    await store.head('a');
    await store.head('a');
    expect(asked).toBe(2);
  });

  test('credentials that end within a minute are requested again before', async () => {
    let asked = 0;
    const credentials = async () => {
      asked += 1;
      return { ...CREDENTIALS, expiration: new Date(Date.now() + asked * 50_000) };
    };
    const { store } = await withObject({ credentials });
    for (let count = 0; count < 3; count += 1) await store.head('a');
    expect(asked).toBe(2);
  });

  test('a function without credentials is denied, and called again by the next call', async () => {
    let asked = 0;
    const credentials = async () => {
      asked += 1;
      if (asked === 1) throw new Error('no vault');
      return CREDENTIALS;
    };
    const { store } = await withObject({ credentials });
    expect((await storageErrorOf(store.head('a'))).code).toBe('denied');
    expect(await store.head('a')).toBeDefined();
  });
});

describe('a wrong listing', () => {
  const listing = (inner: string): Fault => ({
    kind: 'status',
    status: 200,
    body: `<ListBucketResult>${inner}</ListBucketResult>`,
  });
  const entry = (key: string, size = '1') =>
    `<Contents><Key>${key}</Key><Size>${size}</Size></Contents>`;
  const END = '<IsTruncated>false</IsTruncated>';
  test.each<[string, Fault]>([
    ['no end and no token', listing('<IsTruncated>true</IsTruncated>')],
    [
      'the same token again',
      listing('<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>'),
    ],
    ['nothing about an end', listing(entry('a'))],
    ['a key twice', listing(END + entry('a') + entry('a'))],
    ['a key elsewhere', listing(END + entry('b'))],
    ['a size that is none', listing(END + entry('a', '-1'))],
    ['a size beyond 2^53', listing(END + entry('a', '9007199254740993'))],
    ['no key', listing(`${END}<Contents><Size>1</Size></Contents>`)],
    [
      'a key that does not decode',
      listing(`${END}<EncodingType>url</EncodingType>${entry('a%ff')}`),
    ],
    ['another document', { kind: 'status', status: 200, body: '<Other/>' }],
    [
      'an entity bomb',
      {
        kind: 'status',
        status: 200,
        body: '<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult>&a;</ListBucketResult>',
      },
    ],
    ['a depth without bounds', { kind: 'status', status: 200, body: '<a>'.repeat(300_000) }],
    [
      'a length without bounds',
      { kind: 'status', status: 200, body: 'x'.repeat(8 * 1024 * 1024 + 1) },
    ],
  ])('a listing with %s is a network error', async (_, fault) => {
    const { server, store } = await withObject({ attempts: 2 });
    server.fault = () => fault;
    expect((await storageErrorOf(keysOf(store, 'a'))).code).toBe('network');
  });

  test('a cycle of pages ends', async () => {
    const { server, store } = await withObject();
    let page = 0;
    server.fault = () => {
      page += 1;
      return listing(
        `${entry(page % 2 === 0 ? 'a' : 'b')}<IsTruncated>true</IsTruncated><NextContinuationToken>${page % 2}</NextContinuationToken>`,
      );
    };
    expect((await storageErrorOf(keysOf(store))).code).toBe('network');
    page = 0;
    server.fault = () => {
      page += 1;
      return listing(
        `<IsTruncated>true</IsTruncated><NextContinuationToken>${page}</NextContinuationToken>`,
      );
    };
    expect((await storageErrorOf(keysOf(store))).code).toBe('network');
    expect(page).toBeLessThan(200);
  });
});

describe('an abort', () => {
  test.each<[string, Fault]>([
    ['before the answer', { kind: 'stall' }],
    ['within the body', { kind: 'stall', after: 0 }],
    ['between two attempts', { kind: 'status', status: 503, headers: { 'retry-after': '60' } }],
  ])('an abort %s ends the call immediately', async (_, fault) => {
    const { server, store } = await withObject({ timeoutMs: 60_000 });
    server.fault = () => fault;
    const signal = AbortSignal.timeout(50);
    const start = performance.now();
    const calls = [
      store.readStart('a', 100, { signal }),
      store.readRanges('a', [{ target: new Uint8Array(100), offset: 0 }], { signal }),
      store.head('a', { signal }),
    ];
    const errors = await Promise.all(calls.map(storageErrorOf));
    expect(errors.map(({ code }) => code)).toEqual(['aborted', 'aborted', 'aborted']);
    // The wait before another attempt would take 20 s, and that for the server a minute.
    expect(performance.now() - start).toBeLessThan(15_000);
  });

  test('an abort of a put ends it immediately', async () => {
    const { server, store } = await withObject();
    server.fault = () => ({ kind: 'stall' });
    const putting = store.put('b', BYTES, { signal: AbortSignal.timeout(50) });
    expect((await storageErrorOf(putting)).code).toBe('aborted');
  });

  test('an abort while others are in flight ends the wait for a place', async () => {
    const { server, store } = await withObject({ maximumInFlight: 1 });
    const stop = new AbortController();
    const isSent = new Promise<void>((resolve) => {
      server.fault = (_, number) => {
        resolve();
        return number === 1 ? { kind: 'stall' } : undefined;
      };
    });
    const blocking = storageErrorOf(store.head('a', { signal: stop.signal }));
    await isSent;
    const waiting = store.head('a', { signal: AbortSignal.timeout(20) });
    expect((await storageErrorOf(waiting)).code).toBe('aborted');
    stop.abort();
    expect((await blocking).code).toBe('aborted');
    expect(await store.head('a')).toBeDefined();
  });
});

describe('a put', () => {
  test('a put whose response is lost is repeated', async () => {
    const { server, store } = await withObject();
    server.fault = (request, number) =>
      request.method === 'PUT' && number === 1 ? { kind: 'lost' } : undefined;
    expect(await store.put('b', BYTES)).toMatchObject({ key: 'b', size: BYTES.length });
  });

  test('a put that must be new, and whose response is lost, recognizes its own object', async () => {
    const { server, store } = await withObject();
    let puts = 0;
    server.fault = ({ method }) => {
      if (method !== 'PUT') return undefined;
      puts += 1;
      return puts === 1 ? { kind: 'lost' } : undefined;
    };
    const info = await store.put('b', BYTES, { ifAbsent: true });
    expect(info.etag).toBe(server.objects.get('b')?.etag);
    expect(puts).toBe(2);
  });

  test('a put that must be new, and whose response is lost, is refused where another content came after it', async () => {
    const { server, store } = await withObject();
    let puts = 0;
    server.fault = ({ method }) => {
      if (method !== 'PUT') return undefined;
      puts += 1;
      if (puts === 1) return { kind: 'lost' };
      server.put('b', Uint8Array.from(BYTES).fill(1));
      return undefined;
    };
    const putting = store.put('b', BYTES, { ifAbsent: true });
    expect((await storageErrorOf(putting)).code).toBe('exists');
    expect(puts).toBe(2);
  });

  test('a put that must be new is refused where another one came first', async () => {
    const { server, store } = await withObject();
    server.fault = ({ method }) => {
      if (method === 'PUT') server.put('b', new Uint8Array(1));
      return undefined;
    };
    const putting = store.put('b', BYTES, { ifAbsent: true });
    expect((await storageErrorOf(putting)).code).toBe('exists');
    expect((await readWhole(store, 'b', { maximumLength: 10 })).bytes).toEqual(new Uint8Array(1));
  });
});

describe('a put that replaces an expected object', () => {
  test('a put that replaces an expected object is refused where another one came between the look-up and the put', async () => {
    const { server, store } = await withObject();
    const { etag } = await store.put('b', BYTES);
    server.fault = ({ method }) => {
      if (method === 'PUT') server.put('b', new Uint8Array(1));
      return undefined;
    };
    const putting = store.put('b', BYTES, { ifMatch: etag });
    expect(await storageErrorOf(putting)).toMatchObject({ code: 'changed' });
    expect(server.objects.get('b')?.bytes.length).toBe(1);
  });

  test('a put that replaces an expected object, and whose response is lost, recognizes its own object', async () => {
    const { server, store } = await withObject();
    const { etag } = await store.put('b', new Uint8Array(3));
    let puts = 0;
    server.fault = ({ method }) => {
      if (method !== 'PUT') return undefined;
      puts += 1;
      return puts === 1 ? { kind: 'lost' } : undefined;
    };
    const info = await store.put('b', BYTES, { ifMatch: etag });
    expect(info.etag).toBe(server.objects.get('b')?.etag);
    expect(puts).toBe(2);
  });

  test('a put that replaces an expected object is compared before it is written where the store has no such condition', async () => {
    const { server, store } = await withObject();
    server.hasPutConditions = false;
    const { etag } = await store.put('b', new Uint8Array(3));
    await store.put('b', BYTES, { ifMatch: etag });
    expect(server.objects.get('b')?.bytes.length).toBe(BYTES.length);
    const late = store.put('b', new Uint8Array(1), { ifMatch: etag });
    expect((await storageErrorOf(late)).code).toBe('changed');
  });
});

test('a limit of requests in flight is kept', async () => {
  const { server, store } = await withObject({ maximumInFlight: 3 });
  let running = 0;
  let most = 0;
  const counting: typeof fetch = async (...call) => {
    running += 1;
    most = Math.max(most, running);
    try {
      return await fetch(...call);
    } finally {
      running -= 1;
    }
  };
  const limited = storeOf(server, { maximumInFlight: 3, fetch: counting });
  await Promise.all(Array.from({ length: 12 }, () => limited.head('a')));
  expect(most).toBe(3);
  expect(await store.head('a')).toBeDefined();
});
