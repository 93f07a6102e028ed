/**
 * The native build of libzstd: an optional package, which has no binary for every platform.
 *
 * It is required, since `import` would parse it for its names first, which takes as long as starting
 * a thread. The call is not one that a bundler recognizes: some of them follow it to the binary and
 * fail to parse that as JavaScript. A bundled program finds the package if it is installed beside it.
 */
type Native = typeof import('@toondepauw/node-zstd');

/** Undefined where the package is not installed, has no binary, or may not be loaded. */
export function requireNative(): Native | undefined {
  try {
    const { createRequire } = process.getBuiltinModule('node:module');
    const native: Partial<Native> = createRequire(import.meta.url)('@toondepauw/node-zstd');
    return isComplete(native) ? native : undefined;
  } catch {
    return undefined;
  }
}

/** A bundled program may have another version beside it. */
function isComplete(native: Partial<Native>): native is Native {
  return typeof native.Encoder === 'function' && typeof native.Decoder === 'function';
}
