/** A small layer of each kind, built by the command, for tests of the commands that read. */
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseLines, runCli } from './support.ts';

export function keyText(block: number): string {
  return `000000067F000000050000400000${block.toString(16).toUpperCase().padStart(8, '0')}`;
}

export function lsnText(digits: string): string {
  return digits.padStart(16, '0');
}

const IDS = {
  tenant_id: '00'.repeat(16),
  timeline_id: '11'.repeat(16),
  key_start: keyText(0),
  key_end: keyText(9),
};
const DELTA = { kind: 'delta', ...IDS, lsn_start: '0/100', lsn_end: '0/900' };

/** The line of `build` that says which image layer it is. */
export const IMAGE_HEADER = { kind: 'image', ...IDS, lsn: '0/500' };

/** The hex digits of a page. */
export const PAGE = 'c0de'.repeat(4096);

export interface SmallLayers {
  readonly directory: string;
  /** Path of a layer with five values of four keys. */
  readonly delta: string;
  /** Path of a layer with three images. */
  readonly image: string;
}

/** Both lie in one new directory. */
export async function buildSmallLayers(): Promise<SmallLayers> {
  const directory = temporaryDirectory();
  const delta = await buildLayer(directory, DELTA, [
    { key: keyText(1), lsn: '0/100', value: { type: 'image', hex: PAGE } },
    { key: keyText(1), lsn: '0/200', value: { type: 'wal', will_init: false, hex: 'aabb' } },
    { key: keyText(2), lsn: '0/300', value: { type: 'clear_vm', new: 1, old: null, flags: 3 } },
    { key: keyText(4), lsn: '0/400', value: { type: 'wal', will_init: true, hex: '' } },
    {
      key: keyText(5),
      lsn: '0/800',
      value: { type: 'aux_file', path: '\x1b]0;\u202e', content: '00' },
    },
  ]);
  const image = await buildLayer(directory, IMAGE_HEADER, [
    { key: keyText(1), hex: PAGE },
    { key: keyText(3), hex: '' },
    { key: keyText(8), hex: '1234' },
  ]);
  return { directory, delta, image };
}

/** Returns: the path of the layer. */
export async function buildLayer(
  directory: string,
  header: object,
  entries: readonly object[],
): Promise<string> {
  const stdin = [header, ...entries].map((line) => JSON.stringify(line)).join('\n');
  const result = await runCli(['build', '--out', directory], { stdin });
  return String(parseLines(result.stdout)[0]?.['path']);
}
