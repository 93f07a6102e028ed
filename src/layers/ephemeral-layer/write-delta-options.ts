/** How a frozen layer is written as a delta layer. */
import { checkOptions, checkSignal, checkText, type KnownOptions } from '../../check-options.ts';
import type { KeyRange } from '../key.ts';

/** Options of `EphemeralLayer.writeDelta`. */
export interface WriteDeltaOptions {
  /** Directory of the layer; default: that of the scratch file. */
  readonly directory?: string | undefined;
  /** 8 hex digits, for the file name; none by default. */
  readonly generation?: string | undefined;
  /** Ends the call with `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /** Key range in the name of the layer; all its keys are in it. Default: all keys, which makes it an L0. @internal */
  readonly keyRange?: KeyRange | undefined;
}

const WRITE_DELTA_OPTIONS: KnownOptions<WriteDeltaOptions> = {
  directory: true,
  generation: true,
  signal: true,
  keyRange: true,
};

/** Throws `invalid-input`. */
export function checkWriteDeltaOptions(options: WriteDeltaOptions): void {
  checkOptions(options, WRITE_DELTA_OPTIONS);
  const { directory, generation, signal } = options;
  if (directory !== undefined) checkText('directory', directory);
  if (generation !== undefined) checkText('generation', generation);
  checkSignal(signal);
}
