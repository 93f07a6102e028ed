import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  abortedError,
  isStorageError,
  STORAGE_ERROR_CODES,
  StorageError,
  throwIfAborted,
  untracedError,
  withOutcome,
  withPath,
  withPlace,
} from '../src/errors.ts';
import { storageErrorThrownBy } from './support/storage-errors.ts';

test('the type has its name, whatever a bundler calls it', () => {
  expect(StorageError.name).toBe('StorageError');
  expect(inspect(new StorageError('corrupt', { what: 'x' }))).toMatch(/^StorageError: x\n/);
});

describe('a message', () => {
  test('an error message says what, and nothing more, where nothing more is known', () => {
    expect(new StorageError('corrupt', { what: 'blob header' }).message).toBe('blob header');
  });

  test('an error message says where, what, of which key, what was expected and what was found', () => {
    const error = new StorageError('corrupt', {
      what: 'blob header',
      path: '/data/layer',
      offset: 8192,
      key: 'K',
      lsn: 'L',
      expected: 'compression 000 or 001',
      actual: '101',
    });
    expect(error.message).toBe(
      '/data/layer: blob header at offset 8192 (key K, lsn L): expected compression 000 or 001, found 101',
    );
  });

  test.each([
    [{ offset: 0 }, 'x at offset 0'],
    [{ key: 'K' }, 'x (key K)'],
    [{ lsn: 'L' }, 'x (lsn L)'],
    [{ expected: 'E' }, 'x: expected E'],
    [{ actual: '' }, 'x: found '],
    [{ path: 'p', actual: 'A' }, 'p: x: found A'],
    [{ errno: 'EIO', outcome: 'durable' as const, cause: 1 }, 'x'],
  ])('an error with the details %j has the message %s', (details, expected) => {
    expect(new StorageError('io', { what: 'x', ...details }).message).toBe(expected);
  });

  test('an error message shows names and values from files without what could act on a terminal', () => {
    const error = new StorageError('corrupt', {
      what: 'value',
      path: '/tmp/\x1b[31m\nname',
      actual: '\u202etxt',
    });
    expect(error.message).toBe('/tmp/\\x1b[31m\\x0aname: value: found \\u{202e}txt');
    expect(error.path).toBe('/tmp/\x1b[31m\nname');
  });
});

describe('a StorageError', () => {
  const cause = new Error('cause');
  const details = {
    what: 'what',
    path: 'path',
    offset: 1,
    expected: 'expected',
    actual: 'actual',
    key: 'key',
    lsn: 'lsn',
    errno: 'EIO',
    outcome: 'in-doubt' as const,
    cause,
  };

  test('a StorageError is an Error with a name, a code and its details', () => {
    const error = new StorageError('io', details);
    const { what, ...fields } = details;
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'StorageError', code: 'io', ...fields });
    expect(error.message).toContain(what);
    expect('cause' in new StorageError('io', { what })).toBe(false);
  });

  test('a StorageError with other details is another error that keeps the rest', () => {
    const error = new StorageError('io', details);
    const other = error.with({ path: 'other', offset: undefined });
    expect(other).not.toBe(error);
    expect(other).toMatchObject({ ...detailsOf(error), path: 'other', offset: undefined });
    expect(error).toMatchObject({ path: 'path', offset: 1 });
    expect(other.message).toBe('other: what (key key, lsn lsn): expected expected, found actual');
    expect(other.with({}).message).toBe(other.message);
  });

  test('a StorageError with other details shows them in its stack, which leads to where it came from', () => {
    function damagedBlob(): StorageError {
      return new StorageError('corrupt', { what: 'first line\nsecond line\n    at nowhere' });
    }
    const other = damagedBlob().with({ path: 'name' });
    for (const shown of [
      other.stack ?? '',
      inspect(other),
      other.with({ offset: 7 }).stack ?? '',
    ]) {
      expect(shown.split('\n')[0]).toContain('name: first line');
      expect(shown).toContain('damagedBlob');
      expect(shown.split('first line')).toHaveLength(2);
    }
    expect(other.with({ offset: 7 }).stack).toContain('at offset 7');
  });

  test('each code is listed once', () => {
    expect(new Set(STORAGE_ERROR_CODES).size).toBe(STORAGE_ERROR_CODES.length);
  });
});

describe('an error that is returned instead of thrown', () => {
  function describedHere(): StorageError {
    return untracedError('corrupt', { what: 'entry 7', path: 'path' });
  }

  test('an error that is returned instead of thrown is the same as one that is thrown, without the stack', () => {
    const error = describedHere();
    expect(error).toMatchObject({ code: 'corrupt', path: 'path', message: 'path: entry 7' });
    expect(error.stack).toBe('StorageError: path: entry 7');
    expect(error.with({ offset: 8 }).stack).toBe('StorageError: path: entry 7 at offset 8');
  });

  test('an error that is returned instead of thrown gets the stack of the code that throws it', () => {
    function thrownHere(): StorageError {
      return withPlace(describedHere());
    }
    const error = thrownHere();
    const copy = error.with({ path: 'other' });
    for (const { stack } of [error, copy]) {
      expect(stack).toMatch(/^StorageError: (path|other): entry 7\n {4}at thrownHere/);
    }
  });

  test('an error that is returned instead of thrown does not change the stacks of other errors, whether the call succeeds or fails', () => {
    const limit = Error.stackTraceLimit;
    describedHere();
    expect(Error.stackTraceLimit).toBe(limit);
    const broken = Object.defineProperty({ what: 'x' }, 'offset', {
      get(): number {
        throw new RangeError('no offset');
      },
    });
    expect(() => untracedError('corrupt', broken)).toThrow('no offset');
    expect(Error.stackTraceLimit).toBe(limit);
  });

  test('an error that is returned instead of thrown has a stack even if the process forbids changing the length of stacks', () => {
    const before = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit');
    Object.defineProperty(Error, 'stackTraceLimit', { writable: false });
    try {
      expect(describedHere().stack).toContain('describedHere');
    } finally {
      Object.defineProperty(Error, 'stackTraceLimit', { ...before });
    }
  });
});

describe('asking for a code', () => {
  const error: unknown = new StorageError('io', { what: 'x' });

  test('asking for a code finds it among several, or any', () => {
    expect(isStorageError(error)).toBe(true);
    expect(isStorageError(error, 'io')).toBe(true);
    expect(isStorageError(error, 'exists', 'io')).toBe(true);
    expect(isStorageError(error, 'exists')).toBe(false);
  });

  test.each([undefined, null, 'io', { code: 'io' }, new Error('io')])(
    'a value that is %s is not a StorageError',
    (other) => {
      expect(isStorageError(other, 'io')).toBe(false);
      expect(isStorageError(other)).toBe(false);
    },
  );
});

describe('adding', () => {
  test('a path has an effect only if the error has none', () => {
    const without = new StorageError('io', { what: 'x' });
    expect(withPath(without, 'path')).toMatchObject({ path: 'path' });
    expect(withPath(without, undefined)).toBe(without);
    const already = new StorageError('io', { what: 'x', path: 'first' });
    expect(withPath(already, 'second')).toBe(already);
  });

  test('an outcome has an effect only if the error has none', () => {
    const without = new StorageError('io', { what: 'x' });
    expect(withOutcome(without, 'in-doubt')).toMatchObject({ outcome: 'in-doubt' });
    const already = new StorageError('io', { what: 'x', outcome: 'durable' });
    expect(withOutcome(already, 'in-doubt')).toBe(already);
  });

  test.each([undefined, 'text', new Error('x')])(
    'adding anything to %s leaves it as it is',
    (other) => {
      expect(withPath(other, 'path')).toBe(other);
      expect(withOutcome(other, 'durable')).toBe(other);
    },
  );
});

describe('a signal', () => {
  test('a signal that has not fired, or is undefined, lets the call continue', () => {
    throwIfAborted(undefined);
    throwIfAborted(new AbortController().signal, 'path');
  });

  test('a signal that has fired is aborted, with its reason', () => {
    const signal = AbortSignal.abort('enough');
    const error = storageErrorThrownBy(() => throwIfAborted(signal, 'path'));
    expect(error).toMatchObject({ code: 'aborted', path: 'path', cause: 'enough' });
    expect(abortedError(signal)).toMatchObject({ code: 'aborted', path: undefined });
  });
});

function detailsOf(error: StorageError): Record<string, unknown> {
  const { expected, actual, key, lsn, errno, outcome, cause, code } = error;
  return { expected, actual, key, lsn, errno, outcome, cause, code };
}
