/**
 * The native build of libzstd: an optional package, without binaries for some platforms.
 *
 * It is loaded by `require`, because `import` would first parse it for its names, which takes as long as
 * starting a thread. The call is written so that bundlers do not recognize it: some would follow it to the
 * binary and fail to parse that as JavaScript. A bundled program finds the package if it is installed
 * beside it.
 */
type Native = typeof import('@toondepauw/node-zstd');

/** Returns: undefined if the package is not installed, has no binary here, or may not be loaded. */
export function requireNative(): Native | undefined {
  try {
    const { createRequire } = process.getBuiltinModule('node:module');
    const native: Partial<Native> = createRequire(import.meta.url)('@toondepauw/node-zstd');
    return isComplete(native) ? native : undefined;
  } catch {
    return undefined;
  }
}

/** A bundled program may find another version beside it. */
function isComplete(native: Partial<Native>): native is Native {
  return typeof native.Encoder === 'function' && typeof native.Decoder === 'function';
}
