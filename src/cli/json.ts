/**
 * JSON text that is safe on a terminal: what `printable` escapes for people (controls, DEL, C1,
 * bidirectional and invisible marks, line separators, lone surrogates) is written as \uXXXX, so
 * that the text still decodes to the same string.
 */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [name: string]: Json | undefined };

/**
 * JSON in the order of its output. Bytes stand for their hex digits; texts are made when they are
 * written, where all of them would be too long for one.
 */
export type JsonPieces = readonly JsonPiece[];
export type JsonPiece = string | Uint8Array | { readonly texts: Iterable<string> };

export function encodeJson(value: Json): string {
  const text = JSON.stringify(value);
  return PLAIN.test(text) ? text : text.replace(UNSAFE, escapeUnits);
}

const PLAIN = /^[\x20-\x7e]*$/;
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

function escapeUnits(character: string): string {
  let escaped = '';
  for (let index = 0; index < character.length; index += 1) {
    escaped += `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}
