/**
 * A file system provided by the caller may throw or return anything. This proxy enforces the contract
 * of `file-system.ts`: every exception becomes a StorageError with the path, and an impossible result is an error.
 */
import { checkFunction, checkMethod, isCount, isObject } from '../check-options.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { FILE_KINDS, type FileSystem, type OpenFile } from './file-system.ts';
import { fromForeignDirectorySync, fromNodeError } from './system-error.ts';

/** Those of this package, which keep the contract. */
const trusted = new WeakSet<FileSystem>();

/** One proxy for each file system, since failures and turns are remembered by file system. */
const checked = new WeakMap<FileSystem, FileSystem>();

export function trustFileSystem(fileSystem: FileSystem): void {
  trusted.add(fileSystem);
}

const METHODS = [
  'open',
  'rename',
  'link',
  'unlink',
  'stat',
  'readDirectory',
  'syncDirectory',
] as const;
const OPTIONAL_METHODS = [
  'openSync',
  'makeDirectory',
  'removeDirectory',
  'checkCanSync',
  'copyAttributes',
] as const;

/** The file system itself if it belongs to this package, otherwise a checking proxy. */
export function checkedFileSystem(fileSystem: FileSystem): FileSystem {
  for (const method of METHODS) checkMethod('file system', fileSystem, method);
  for (const method of OPTIONAL_METHODS)
    checkFunction(`${method} of the file system`, fileSystem[method]);
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
      if (name === 'opened' && member !== undefined) return checkedStat(member, path, name);
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
  return typeof path === 'string' ? path : undefined;
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
  if (name === 'open' || name === 'openSync') return checkedOpenFile(result, path, name);
  if (name === 'stat') return checkedStat(result, path, name);
  if (name === 'readDirectory') return checkedEntries(result, path);
  const [bytes] = values;
  if (/^(read|write)(Sync)?$/.test(name) && ArrayBuffer.isView(bytes)) {
    if (isCount(result) && result <= bytes.byteLength) return result;
    throw impossible(path, `0 to ${bytes.byteLength} bytes from ${name}`, result);
  }
  return result;
}

const FILE_METHODS: readonly (keyof OpenFile)[] = [
  'read',
  'write',
  'sync',
  'syncData',
  'setLength',
  'setOwnership',
  'stat',
  'close',
] as const;
const SYNC_FILE_METHODS: readonly (keyof OpenFile)[] = ['readSync', 'closeSync'];

function checkedOpenFile(file: unknown, path: string | undefined, name: string): object {
  const methods = name === 'open' ? FILE_METHODS : [...FILE_METHODS, ...SYNC_FILE_METHODS];
  if (isObject(file) && methods.every((method) => typeof file[method] === 'function')) {
    return withChecks(file, path);
  }
  throw impossible(path, `an open file from ${name}`, file);
}

function checkedStat(stat: unknown, path: string | undefined, name: string): unknown {
  if (isObject(stat)) {
    const { allocatedSize, modificationTime } = stat;
    const isComplete =
      [stat['size'], stat['mode'], stat['userId'], stat['groupId']].every(isCount) &&
      typeof stat['identity'] === 'string' &&
      isKind(stat['kind']) &&
      (allocatedSize === undefined || isCount(allocatedSize)) &&
      (modificationTime === undefined || typeof modificationTime === 'bigint');
    if (isComplete) return stat;
  }
  throw impossible(path, `a description of a file from ${name}`, stat);
}

function checkedEntries(entries: unknown, path: string | undefined): unknown {
  const isEntry = (entry: unknown): boolean =>
    isObject(entry) && isName(entry['name']) && isKind(entry['kind']);
  if (Array.isArray(entries) && Array.from(entries).every(isEntry)) return entries;
  throw impossible(path, 'a list of names and kinds from readDirectory', entries);
}

/** Any other name would lead out of the directory, or to the directory itself, which is then walked forever. */
function isName(value: unknown): boolean {
  return typeof value === 'string' && !/^\.{0,2}$|[/\0]/.test(value);
}

function isKind(value: unknown): boolean {
  return FILE_KINDS.some((kind) => kind === value);
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
