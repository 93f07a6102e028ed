import { expect, test } from 'vitest';
import { statusOfError } from '../../src/cli/exit-status.ts';
import { STORAGE_ERROR_CODES, StorageError } from '../../src/errors.ts';

const STATUSES: Record<string, readonly string[]> = {
  1: [
    'corrupt',
    'truncated',
    'too-large',
    'out-of-order',
    'out-of-range',
    'empty',
    'exists',
    'ambiguous-name',
    'needs-redo',
    'no-base',
    'gap',
  ],
  2: ['usage', 'invalid-input'],
  3: ['io', 'not-found', 'sync-failed', 'closed', 'network', 'denied', 'changed'],
  4: ['unsupported-version'],
  130: ['aborted'],
};

test.each(STORAGE_ERROR_CODES)('an error %s ends with the status of its decision', (code) => {
  const status = statusOfError(new StorageError(code, { what: 'x' }));
  expect(STATUSES[status]).toContain(code);
});

test('an error of another library has the status of a failed look', () => {
  expect(statusOfError(new TypeError('x'))).toBe(3);
});
