import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { StorageErrorCode } from '../../src/errors.ts';
import { httpObject, httpStore } from '../../src/object-store/http-store.ts';
import { readWhole } from '../../src/object-store/read-whole.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const BYTES = Uint8Array.from({ length: 50_000 }, (_, index) => (index * 7) % 251);
const FAST = { firstWaitMs: 1, attempts: 2, timeoutMs: 20_000 };

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A web server for one test; returns its origin. */
async function serve(answer: Answer): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function sendRange(request: IncomingMessage, response: ServerResponse, headers = {}): void {
  const [, start = 0, last = 0] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []).map(
    Number,
  );
  const end = Math.min(last + 1, BYTES.length);
  response.writeHead(206, {
    'content-range': `bytes ${start}-${end - 1}/${BYTES.length}`,
    etag: '"one"',
    ...headers,
  });
  response.end(BYTES.subarray(start, end));
}

describe('a file of a web server', () => {
  test('a file of a web server is read by ranges, with the query and the user of its URL', async () => {
    const seen: string[] = [];
    const origin = await serve((request, response) => {
      seen.push(`${request.url} ${request.headers.authorization} ${request.headers['x-own']}`);
      sendRange(request, response);
    });
    const url = `${origin.replace('//', '//user:p%40ss@')}/a%20b/layer%2B1?sig=s%2Fx`;
    const { store, key } = httpObject(url, { ...FAST, headers: { 'x-own': 'yes' } });
    expect(key).toBe('layer+1');
    expect(store.name).toBe(`${origin}/a%20b`);
    const target = new Uint8Array(100);
    await store.readRanges(key, [{ target, offset: 49_900 }], { etag: '"one"' });
    expect(target).toEqual(BYTES.slice(49_900));
    const user = Buffer.from('user:p@ss').toString('base64');
    expect(seen).toEqual([`/a%20b/layer%2B1?sig=s%2Fx Basic ${user} yes`]);
    expect(await store.head(key)).toEqual({ key, size: BYTES.length, etag: '"one"' });
  });

  test('a file of a web server is read completely if the server does not support ranges', async () => {
    const origin = await serve((_, response) => {
      response.writeHead(200, { 'content-length': BYTES.length }).end(BYTES);
    });
    const store = httpStore(origin, FAST);
    const { bytes } = await readWhole(store, 'a', { maximumLength: BYTES.length });
    expect(Buffer.compare(bytes, BYTES)).toBe(0);
    const reading = store.readRanges('a', [{ target: new Uint8Array(1), offset: 5 }]);
    const error = await storageErrorOf(reading);
    expect(error).toMatchObject({ code: 'network', path: `${origin}/a` });
    expect(error.message).toContain('server does not support ranges');
  });

  test('a file of a web server follows redirects, and sends the headers to no other server', async () => {
    const seen: (string | undefined)[] = [];
    const other = await serve((request, response) => {
      seen.push(request.headers.authorization);
      sendRange(request, response);
    });
    const origin = await serve((request, response) => {
      seen.push(request.headers.authorization);
      const location = request.url === '/a' ? '/b' : `${other}/c`;
      response.writeHead(302, { location }).end();
    });
    const store = httpStore(origin, { ...FAST, headers: { authorization: 'secret' } });
    expect((await store.readStart('a', 10)).bytes).toEqual(BYTES.slice(0, 10));
    expect(seen).toEqual(['secret', 'secret', undefined]);
  });

  test.each<[string, Answer, StorageErrorCode]>([
    [
      'a redirect in a circle',
      (_, response) => response.writeHead(302, { location: '/a' }).end(),
      'network',
    ],
    [
      'a redirect to a file',
      (_, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
      'network',
    ],
    ['a redirect to nowhere', (_, response) => response.writeHead(302).end(), 'network'],
    ['401', (_, response) => response.writeHead(401).end(), 'denied'],
    ['403', (_, response) => response.writeHead(403).end(), 'denied'],
    ['404', (_, response) => response.writeHead(404).end('<html>'), 'not-found'],
    ['410', (_, response) => response.writeHead(410).end(), 'not-found'],
    ['400', (_, response) => response.writeHead(400).end(), 'network'],
    ['500', (_, response) => response.writeHead(500).end(), 'network'],
    ['204', (_, response) => response.writeHead(204).end(), 'network'],
    [
      'a page with 200',
      (_, response) =>
        response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<html>'),
      'network',
    ],
    ['200 without a length', (_, response) => response.writeHead(200).write('abc'), 'network'],
    [
      'another etag',
      (request, response) => sendRange(request, response, { etag: '"two"' }),
      'changed',
    ],
    ['412', (_, response) => response.writeHead(412).end(), 'changed'],
  ])(
    'a web server that answers with %s gives an error with the code for that',
    async (_, answer, code) => {
      const store = httpStore(await serve(answer), FAST);
      const error = await storageErrorOf(store.readStart('a', 10, { etag: '"one"' }));
      expect(error.code).toBe(code);
      if (code !== 'not-found') return;
      expect(await store.head('a')).toBeUndefined();
    },
  );

  test('a file of a web server without an etag has one of its time and size, which no request is given', async () => {
    const seen: (string | undefined)[] = [];
    let time = 'Sun, 09 Sep 2001 01:46:40 GMT';
    const origin = await serve((request, response) => {
      seen.push(request.headers['if-match']);
      response.removeHeader('etag');
      sendRange(request, response, { etag: [], 'last-modified': time });
    });
    const store = httpStore(origin, FAST);
    const { info } = await store.readStart('a', 10);
    const { etag } = info;
    expect(info.modified).toEqual(new Date(1e12));
    await store.readStart('a', 10, { etag });
    time = 'Sun, 09 Sep 2001 01:46:41 GMT';
    expect((await storageErrorOf(store.readStart('a', 10, { etag }))).code).toBe('changed');
    expect(seen).toEqual([undefined, undefined, undefined]);
  });

  test('a file of a web server is neither listed nor written', async () => {
    const store = httpStore('http://127.0.0.1:1/a');
    const listing = (async () => {
      for await (const item of store.list('')) return item;
      return undefined;
    })();
    expect((await storageErrorOf(listing)).code).toBe('invalid-input');
    expect((await storageErrorOf(store.put('a', BYTES))).code).toBe('invalid-input');
  });

  test.each(['ftp://a/b', 'a', 'https://', '/etc/passwd', 'https://host/', 'https://host/dir/'])(
    'the address %s is refused as that of a file',
    (url) => {
      expect(storageErrorThrownBy(() => httpObject(url)).code).toBe('invalid-input');
    },
  );

  test('a file of a web server is below its base, whatever its key', async () => {
    const store = httpStore('http://127.0.0.1:1/a');
    for (const key of ['../b', 'a/../b', './a']) {
      expect((await storageErrorOf(store.head(key))).code).toBe('invalid-input');
    }
  });
});
