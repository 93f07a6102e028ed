/**
 * Text from files, file names and arguments, made safe for a terminal, a log or a page: control
 * characters (C0, DEL, C1), line separators, bidirectional marks, invisible characters and lone
 * surrogates become `\xNN`, `\u{N}` escapes, so that printed text cannot move a cursor, set a
 * clipboard or reorder a line.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, escapeCharacter);
}

/** The text, cut to the maximum length and followed by `...` if it is longer. */
export function shortened(text: string, maximumLength: number): string {
  return text.length > maximumLength ? `${text.slice(0, maximumLength)}...` : text;
}

/** A URL, valid or not, without its user, its query, which may hold a signature, and its fragment. */
export function withoutCredentials(url: string): string {
  return url.replace(/[?#].*$/s, '').replace(/^([a-z]+:\/\/)[^/]*@/i, '$1');
}

/**
 * A number or string as text, and anything else as the name of its type: turning an object into a string would run its
 * code, and fails for one without a prototype.
 */
export function valueText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  return value === null ? 'null' : typeof value;
}

/** Cc, Cf (bidirectional and zero-width marks), Zl, Zp, Co and unpaired surrogates. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

function escapeCharacter(character: string): string {
  const codePoint = character.codePointAt(0) ?? 0;
  const hex = codePoint.toString(16);
  return codePoint < 0x100 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`;
}
