/** Whether a stream accepts escape codes, and the codes in use. */
import type { Output } from './output.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * NO_COLOR (not empty) overrides FORCE_COLOR (not empty; `0` and `false` mean no). Without either,
 * only a terminal that is not dumb gets colour.
 */
export function wantsColour(environment: Environment, isTerminal: boolean): boolean {
  const force = environment['FORCE_COLOR'] ?? '';
  if ((environment['NO_COLOR'] ?? '') !== '') return false;
  if (force !== '') return force !== '0' && force !== 'false';
  return isTerminal && environment['TERM'] !== 'dumb';
}

const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const;

export type Style = keyof typeof CODES;

/** Returns the text in a style if the output accepts it. The text itself must be printable. */
export function paint(output: Pick<Output, 'colour'>, style: Style, text: string): string {
  if (!output.colour || text === '') return text;
  const [on, off] = CODES[style];
  return `\x1b[${on}m${text}\x1b[${off}m`;
}
