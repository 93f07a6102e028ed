/**
 * JSON text that is safe on a terminal: the characters that `printable` escapes for people
 * (controls, DEL, C1, bidirectional and invisible marks, line separators, lone surrogates) are
 * written as \uXXXX, so that the text still decodes to the same string.
 */
import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';

export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [name: string]: Json | undefined };

/**
 * JSON text in pieces, in order. Bytes are written as hex digits. An iterable of texts is for what
 * would be too long for one string: each text is made when it is written.
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

/** A finished layer, as all commands that make layers print it. The name is that of the file or object. */
export function layerObject(
  layer: Pick<
    FinishedLayer,
    'path' | 'size' | 'entryCount' | 'indexStartBlock' | 'indexRootBlock' | 'manifestPath'
  >,
): { readonly [name: string]: Json } {
  return {
    path: layer.path,
    name: layer.path.slice(layer.path.lastIndexOf('/') + 1),
    size: layer.size,
    entries: layer.entryCount,
    index_start_blk: layer.indexStartBlock,
    index_root_blk: layer.indexRootBlock,
    ...(layer.manifestPath === undefined ? {} : { manifest: layer.manifestPath }),
  };
}

/** The line about a finished layer, which build and import print. */
export function layerLine(
  layer: FinishedLayer,
  more: Readonly<Record<string, Json | undefined>> = {},
): string {
  return `${encodeJson({ ...layerObject(layer), ...more })}\n`;
}
