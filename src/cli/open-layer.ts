/** How a command opens a layer, and what it says about the name. */
import { nameMatches } from '../layers/layer-name.ts';
import { type LayerReader, openLayer } from '../layers/open-layer.ts';
import type { Context } from './context.ts';

export function openForReading(file: string): Promise<LayerReader> {
  return openLayer(file);
}

/** For the commands that go on although the name contradicts the file. */
export function warnOfName(context: Context, reader: LayerReader): void {
  if (nameMatches(reader.path, reader.summary) !== false) return;
  context.reporter.warning('the name of the file disagrees with its summary', reader.path);
}
