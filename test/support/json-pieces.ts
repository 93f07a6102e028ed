/** The text that the pieces of a line are printed as. */
import type { JsonPieces } from '../../src/cli/json.ts';

export function textOfPieces(pieces: JsonPieces): string {
  return pieces
    .map((piece) => {
      if (typeof piece === 'string') return piece;
      return piece instanceof Uint8Array
        ? Buffer.from(piece).toString('hex')
        : [...piece.texts].join('');
    })
    .join('');
}
