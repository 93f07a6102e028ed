import * as commands from '@aws-sdk/client-s3';
import { expect, onTestFinished, test } from 'vitest';
import { isCommonPrefix, type ObjectStore } from '../../src/object-store/object-store.ts';
import { sdkStore } from '../../src/object-store/sdk-store.ts';
import { CREDENTIALS, S3Server } from '../support/s3-server.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const BYTES = Uint8Array.from({ length: 50_000 }, (_, index) => (index * 7) % 251);

async function withClient(): Promise<{ server: S3Server; store: ObjectStore }> {
  const server = await S3Server.start();
  const client = new commands.S3Client({
    endpoint: server.endpoint,
    region: 'us-east-1',
    credentials: CREDENTIALS,
    forcePathStyle: true,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  onTestFinished(async () => {
    client.destroy();
    await server.stop();
  });
  const store = sdkStore({ client, commands, bucket: 'layers', prefix: 'p', firstWaitMs: 1 });
  return { server, store };
}

test("the caller's own client reads, looks up, lists and writes", async () => {
  const { server, store } = await withClient();
  const info = await store.put('a/b', BYTES);
  expect(info).toMatchObject({ key: 'a/b', size: BYTES.length });
  const target = new Uint8Array(1000);
  await store.readRanges('a/b', [{ target, offset: 40_000 }], { etag: info.etag });
  expect(target).toEqual(BYTES.slice(40_000, 41_000));
  expect(await store.head('a/b')).toMatchObject({ size: BYTES.length, etag: info.etag });
  server.put('p/empty', new Uint8Array(0));
  expect(await store.readStart('empty', 10)).toMatchObject({ info: { size: 0 } });
  server.pageSize = 1;
  const items = [];
  for await (const item of store.list('', { delimiter: '/' })) {
    items.push(isCommonPrefix(item) ? item.prefix : item.key);
  }
  expect(items).toEqual(['a/', 'empty']);
});

test("the errors of the caller's own client are ours", async () => {
  const { server, store } = await withClient();
  expect(await store.head('missing')).toBeUndefined();
  expect((await storageErrorOf(store.readStart('missing', 1))).code).toBe('not-found');
  server.put('p/a', BYTES);
  const beyond = store.readRanges('a', [{ target: new Uint8Array(2), offset: 60_000 }]);
  expect((await storageErrorOf(beyond)).code).toBe('truncated');
  const changed = store.readStart('a', 1, { etag: '"other"' });
  expect((await storageErrorOf(changed)).code).toBe('changed');
  expect((await storageErrorOf(store.put('a', BYTES, { ifAbsent: true }))).code).toBe('exists');
  const late = store.put('a', BYTES, { ifMatch: '"other"' });
  expect((await storageErrorOf(late)).code).toBe('changed');
  const { etag } = await store.put('a', new Uint8Array(3));
  server.fault = ({ method }) => {
    if (method === 'PUT') server.put('p/a', new Uint8Array(1));
    return undefined;
  };
  const overtaken = store.put('a', BYTES, { ifMatch: etag });
  expect((await storageErrorOf(overtaken)).code).toBe('changed');
  expect(server.objects.get('p/a')?.bytes.length).toBe(1);
  server.fault = () => ({ kind: 'status', status: 403, code: 'AccessDenied' });
  expect((await storageErrorOf(store.head('a'))).code).toBe('denied');
  server.fault = () => ({ kind: 'status', status: 404, code: 'NoSuchBucket' });
  expect((await storageErrorOf(store.head('a'))).code).toBe('io');
  server.fault = () => ({ kind: 'status', status: 503, code: 'SlowDown' });
  expect((await storageErrorOf(store.head('a'))).code).toBe('network');
  server.fault = () => ({ kind: 'stall' });
  const stalled = store.head('a', { signal: AbortSignal.timeout(50) });
  expect((await storageErrorOf(stalled)).code).toBe('aborted');
});

test("a body that is cut is continued by the caller's own client", async () => {
  const { server, store } = await withClient();
  server.put('p/a', BYTES);
  server.fault = (_, number) => (number === 1 ? { kind: 'cut', after: 20_000 } : undefined);
  expect(Buffer.compare((await store.readStart('a', 50_000)).bytes, BYTES)).toBe(0);
  expect(server.requests[1]?.range).toBe('bytes=20000-49999');
});
