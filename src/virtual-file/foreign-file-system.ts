/**
 * A file system provided by the caller may throw or return anything. This proxy enforces the contract
 * of `file-system.ts`: every exception becomes a StorageError with the path, and an impossible number
 * of bytes is an error.
 */
import { isStorageError, StorageError } from '../errors.ts';
import type { FileSystem } from './file-system.ts';
import { fromForeignDirectorySync, fromNodeError } from './system-error.ts';

/** Those of this package, which keep the contract. */
const trusted = new WeakSet<FileSystem>();

/** One proxy for each file system, since failures and turns are remembered by file system. */
const checked = new WeakMap<FileSystem, FileSystem>();

export function trustFileSystem(fileSystem: FileSystem): void {
  trusted.add(fileSystem);
}

/** The file system itself if it belongs to this package, otherwise a checking proxy. */
export function checkedFileSystem(fileSystem: FileSystem): FileSystem {
  if (trusted.has(fileSystem)) return fileSystem;
  const known = checked.get(fileSystem) ?? withChecks(fileSystem);
  checked.set(fileSystem, known);
  return known;
}

interface Operation {
  /** Name of the method. */
  readonly name: string;
  readonly values: readonly unknown[];
  readonly path: string | undefined;
  readonly call: () => unknown;
}

/** `path` is that of an open file; methods of a file system have one as their first argument. */
function withChecks<T extends object>(target: T, path?: string): T {
  // The proxy has a separate target, since the properties of `target` may be frozen.
  return new Proxy<T>(Object.create(null), {
    has: (_, name) => Reflect.has(target, name),
    get: (_, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function' || typeof name !== 'string') return member;
      const run = name.endsWith('Sync') ? runSync : runLater;
      return (...values: unknown[]) => {
        const call = (): unknown => Reflect.apply(member, target, values);
        return run({ name, values, path: path ?? pathOf(values), call });
      };
    },
  });
}

function pathOf([path]: readonly unknown[]): string | undefined {
  return path === undefined ? undefined : String(path);
}

async function runLater(operation: Operation): Promise<unknown> {
  try {
    return checkedResult(await operation.call(), operation);
  } catch (error) {
    throw failureOf(operation, error);
  }
}

function runSync(operation: Operation): unknown {
  try {
    return checkedResult(operation.call(), operation);
  } catch (error) {
    throw failureOf(operation, error);
  }
}

function checkedResult(result: unknown, { name, values, path }: Operation): unknown {
  if (name === 'open' || name === 'openSync') {
    if (typeof result === 'object' && result !== null) return withChecks(result, path);
    throw impossible(path, `an open file from ${name}`, result);
  }
  const [bytes] = values;
  if (/^(read|write)(Sync)?$/.test(name) && ArrayBuffer.isView(bytes)) {
    const isCount = typeof result === 'number' && Number.isSafeInteger(result);
    if (isCount && result >= 0 && result <= bytes.byteLength) return result;
    throw impossible(path, `0 to ${bytes.byteLength} bytes from ${name}`, result);
  }
  return result;
}

function impossible(path: string | undefined, expected: string, result: unknown): StorageError {
  const actual = typeof result === 'number' ? `${result}` : typeof result;
  return new StorageError('io', {
    what: 'invalid result of the file system',
    path,
    expected,
    actual,
  });
}

/** Only reads and writes have an offset, as their second argument. */
function failureOf({ name, values, path }: Operation, error: unknown): StorageError {
  if (isStorageError(error)) return error;
  if (name === 'syncDirectory' && path !== undefined) return fromForeignDirectorySync(path, error);
  const words = name.replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  const failure = fromNodeError(words.replace(/^(open|read|close) sync$/, '$1'), path, error);
  const [, offset] = values;
  return typeof offset === 'number' ? failure.with({ offset }) : failure;
}
