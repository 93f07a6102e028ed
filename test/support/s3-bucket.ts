/**
 * Where tests of S3 write if nothing goes wrong: a bucket of the server of the tests, or the bucket
 * LAYERFILE_S3_BUCKET of the one that LAYERFILE_S3_ENDPOINT names, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
 */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { ObjectStore } from '../../src/object-store/object-store.ts';
import { s3Store } from '../../src/object-store/s3-store.ts';
import { CREDENTIALS, startS3 } from './s3-server.ts';

/** Of a real server; undefined without one. */
export const S3_ENDPOINT = process.env['LAYERFILE_S3_ENDPOINT'];
export const S3_BUCKET = process.env['LAYERFILE_S3_BUCKET'] ?? 'layers';

/** A prefix that no other test uses. */
export interface S3Prefix {
  /** Keys begin after the prefix. */
  readonly store: ObjectStore;
  /** For the command line, without a slash at the end. */
  readonly url: string;
}

/** Makes the environment that of the bucket: `vi.unstubAllEnvs` ends it. */
export async function newS3Prefix(): Promise<S3Prefix> {
  const prefix = `run/${randomUUID()}`;
  const url = `s3://${S3_BUCKET}/${prefix}`;
  if (S3_ENDPOINT !== undefined) {
    return { url, store: s3Store({ bucket: S3_BUCKET, endpoint: S3_ENDPOINT, prefix }) };
  }
  const { server, store } = await startS3({ prefix });
  vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey);
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ENDPOINT_URL_S3', server.endpoint);
  return { url, store };
}

/** Puts the files below a directory into the store. */
export async function putFilesBelow(directory: string, store: ObjectStore): Promise<void> {
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const path = join(directory, name);
    if (statSync(path).isFile()) await store.put(name, readFileSync(path));
  }
}
