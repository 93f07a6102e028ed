/** Header and entries of a layer in NDJSON, the input of `build`. */
import { isStorageError } from '../errors.ts';
import { formatIdentifier, parseIdentifier } from '../layers/identifier.ts';
import { type Key, type KeyRange, parseKey } from '../layers/key.ts';
import { type Lsn, type LsnRange, parseLsn } from '../layers/lsn.ts';
import { type JsonFields, wrongField } from './json-fields.ts';
import { parseValue, type SpecValue } from './value-json.ts';

export type LayerHeader =
  | (LayerIds & { readonly kind: 'delta'; readonly lsnRange: LsnRange })
  | (LayerIds & { readonly kind: 'image'; readonly lsn: Lsn });

interface LayerIds {
  /** 32 lower-case hex digits each. */
  readonly tenantId: string;
  readonly timelineId: string;
  readonly keyRange: KeyRange;
}

export function parseHeader(fields: JsonFields): LayerHeader {
  const kind = fields.text('kind');
  if (kind !== 'delta' && kind !== 'image') {
    throw wrongField('kind', 'delta or image', JSON.stringify(kind));
  }
  const ids: LayerIds = {
    tenantId: identifierField(fields, 'tenant_id'),
    timelineId: identifierField(fields, 'timeline_id'),
    keyRange: { start: keyField(fields, 'key_start'), end: keyField(fields, 'key_end') },
  };
  if (kind === 'image') return { kind, ...ids, lsn: lsnField(fields, 'lsn') };
  const lsnRange = { start: lsnField(fields, 'lsn_start'), end: lsnField(fields, 'lsn_end') };
  return { kind, ...ids, lsnRange };
}

export function parseImageEntry(fields: JsonFields): { key: Key; image: Uint8Array } {
  return { key: keyField(fields, 'key'), image: fields.bytes() };
}

export function parseDeltaEntry(fields: JsonFields): { key: Key; lsn: Lsn; value: SpecValue } {
  return {
    key: keyField(fields, 'key'),
    lsn: lsnField(fields, 'lsn'),
    value: parseValue(fields.object('value')),
  };
}

function keyField(fields: JsonFields, name: string): Key {
  return named(name, () => parseKey(fields.text(name)));
}

function lsnField(fields: JsonFields, name: string): Lsn {
  return named(name, () => parseLsn(fields.text(name)));
}

function identifierField(fields: JsonFields, name: string): string {
  return named(name, () => formatIdentifier(parseIdentifier(fields.text(name), name)));
}

/** Adds the name of the field to the error of a parser. */
function named<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!isStorageError(error, 'invalid-input') || error.expected === undefined) throw error;
    throw wrongField(name, error.expected, error.actual ?? 'something else');
  }
}
