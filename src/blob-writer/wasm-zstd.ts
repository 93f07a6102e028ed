/** The WebAssembly build of libzstd: always there, loaded when it is first needed. */
import type { Zstd } from '@hpcc-js/wasm-zstd';

let loading: Promise<Zstd> | undefined;

export function loadWasmZstd(): Promise<Zstd> {
  loading ??= import('@hpcc-js/wasm-zstd').then((module) => module.Zstd.load());
  return loading;
}
