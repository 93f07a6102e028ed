/**
 * Interprets the errors of S3. A status alone proves nothing: proxies, too, return 404 or 403, and pages of their
 * own. Absence is only believed if an error document states it.
 */
import { isStorageError, StorageError } from '../errors.ts';
import type { HttpResponse } from './http-client.ts';
import { changedError, notFoundError } from './object-store.ts';
import { transient } from './retry.ts';
import { Element } from './xml.ts';

/** The error document of S3 with its status. */
export interface S3Failure {
  readonly status: number;
  /** Empty if the body is not an error document. */
  readonly code: string;
  readonly message: string;
  /** The region of the bucket, if the response names one. */
  readonly region: string | undefined;
  /** Milliseconds that the server is ahead of this machine, if the response has a date. */
  readonly clockOffsetMs: number | undefined;
  readonly retryAfterMs: number | undefined;
}

const MAXIMUM_ERROR_LENGTH = 64 * 1024;

export async function readFailure(response: HttpResponse): Promise<S3Failure> {
  const error = Element.parse(await textOrNothing(response));
  const isError = error?.name === 'Error';
  const date = Date.parse(response.header('date') ?? '');
  return {
    status: response.status,
    code: (isError && error.textOf('Code')?.trim()) || '',
    message: (isError && error.textOf('Message')?.trim()) || '',
    region:
      response.header('x-amz-bucket-region') ?? (isError ? error.textOf('Region') : undefined),
    clockOffsetMs: Number.isNaN(date) ? undefined : date - Date.now(),
    retryAfterMs: retryAfterMs(response.header('retry-after')),
  };
}

/** A body that is truncated or too long is not an error document. */
async function textOrNothing(response: HttpResponse): Promise<string> {
  try {
    return await response.text(MAXIMUM_ERROR_LENGTH);
  } catch (error) {
    if (isStorageError(error, 'aborted')) throw error;
    return '';
  }
}

/** Only the form in seconds is in use. */
function retryAfterMs(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}

/** Codes of failures that pass, whatever the status. */
const PASSING: ReadonlySet<string> = new Set([
  'SlowDown',
  'RequestTimeout',
  'InternalError',
  'ServiceUnavailable',
  'ThrottlingException',
  'Throttling',
  'TooManyRequests',
  'OperationAborted',
  'ConditionalRequestConflict',
]);

const DENIED: ReadonlySet<string> = new Set([
  'AccessDenied',
  'AccountProblem',
  'AllAccessDisabled',
  'AuthorizationHeaderMalformed',
  'ExpiredToken',
  'InvalidAccessKeyId',
  'InvalidToken',
  'InvalidObjectState',
  'RequestTimeTooSkewed',
  'SignatureDoesNotMatch',
  'TokenRefreshRequired',
  // An unknown access key, of versitygw, with status 404.
  'XAdminUserNotFound',
]);

/** The error of a failed request. `etag` is the requested one. */
export function errorOfFailure(
  failure: S3Failure,
  { path, bucket, etag }: { path: string; bucket: string; etag: string | undefined },
): StorageError {
  const { status, code, message, clockOffsetMs, retryAfterMs } = failure;
  const actual = [`status ${status}`, code, message].filter((part) => part !== '').join(' ');
  if (code === 'NoSuchKey') return notFoundError(path);
  if (code === 'NoSuchBucket') {
    // This does not mean that the object is absent: the name or the endpoint may be wrong.
    const expected = 'the name of a bucket of this endpoint';
    return new StorageError('io', {
      what: `bucket ${bucket} does not exist`,
      path,
      expected,
      actual,
    });
  }
  if (PASSING.has(code) || status >= 500 || status === 429 || status === 408) {
    const what = 'the store is not available';
    return transient(new StorageError('network', { what, path, actual }), retryAfterMs);
  }
  if (status === 412 && etag !== undefined) return changedError(path, etag, undefined);
  if (code === 'RequestTimeTooSkewed') {
    const seconds = Math.round((clockOffsetMs ?? 0) / 1000);
    const what = `the clock of this machine differs from the store's by ${seconds} s`;
    return new StorageError('denied', { what, path, actual });
  }
  if (DENIED.has(code) || status === 401 || status === 403) {
    return new StorageError('denied', { what: 'the store refuses', path, actual });
  }
  if (code === 'InvalidObjectName' || code === 'InvalidBucketName' || code === 'KeyTooLongError') {
    return new StorageError('invalid-input', { what: 'name', path, actual });
  }
  const what = status >= 300 && status < 400 ? 'redirect of the store' : 'response of the store';
  return new StorageError('network', { what, path, expected: 'an object of S3', actual });
}
