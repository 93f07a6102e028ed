/** Names of the files that layers have before they are finished. No layer has such a name. */
import { checkText } from '../check-options.ts';
import { isLeftoverName, SCRATCH_PREFIX, temporaryName } from '../virtual-file/leftover-names.ts';
import { formatKey } from './key.ts';
import { formatLayerName, type LayerName } from './layer-name.ts';
import { formatLsn } from './lsn.ts';

/** Name of the file that becomes the layer; the token keeps two writers apart. */
export function formatTemporaryName(name: LayerName, token: string): string {
  return temporaryName(temporaryStem(name), token);
}

/** Name of the scratch file for index blocks of the layer. */
export function formatIndexScratchName(name: LayerName, token: string): string {
  return temporaryName(`${temporaryStem(name)}-index`, token);
}

function temporaryStem(name: LayerName): string {
  if (name.kind === 'image') return formatLayerName(name);
  const { start, end } = name.lsnRange;
  return `${formatKey(name.keyRange.start)}-XXX__${formatLsn(start)}-${formatLsn(end)}`;
}

/** True for a file that writers leave when the process dies, and `removeLeftovers` deletes. */
export function isTemporaryName(name: string): boolean {
  checkText('name', name);
  return isLeftoverName(name);
}

/** Name of an ephemeral layer's scratch file. */
export function formatScratchName(token: string): string {
  return SCRATCH_PREFIX + token;
}
