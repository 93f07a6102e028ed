/** The differences of two indices: fields by their JSON names, and layers by name. */
import { formatExactJson, isJsonObject, type JsonObject, type JsonValue } from '../exact-json.ts';
import { checkIndexPartArgument, type IndexPart } from './index-part.ts';

/** A difference of a field: the values as JSON, undefined where it is missing. */
export interface FieldDifference {
  /** Tells the two kinds apart. */
  readonly kind: 'field';
  /** Its place, such as `metadata_bytes.initdb_lsn`. */
  readonly field: string;
  /** In the first index. */
  readonly a: JsonValue | undefined;
  /** In the second index. */
  readonly b: JsonValue | undefined;
}

/** A difference of a layer. */
export interface LayerDifference {
  /** Tells the two kinds apart. */
  readonly kind: 'layer';
  /** Name of the layer. */
  readonly name: string;
  /** Its entry in the first index; undefined where it is missing. */
  readonly a: JsonValue | undefined;
  /** Its entry in the second index. */
  readonly b: JsonValue | undefined;
}

/** A difference of two indices. */
export type IndexDifference = FieldDifference | LayerDifference;

/**
 * Compares two indices as they would be written, so that old forms of the metadata equal the current one. First the
 * fields, then the layers by name.
 */
export function diffIndexParts(a: IndexPart, b: IndexPart): IndexDifference[] {
  checkIndexPartArgument('first index', a);
  checkIndexPartArgument('second index', b);
  const { layer_metadata: layersA, ...fieldsA } = a.toJson();
  const { layer_metadata: layersB, ...fieldsB } = b.toJson();
  const differences: IndexDifference[] = [];
  // `toJson` has the version that would be written; the stored ones are compared.
  diffFields(
    '',
    { ...fieldsA, version: a.fields.version },
    { ...fieldsB, version: b.fields.version },
    (field, left, right) => {
      differences.push({ kind: 'field', field, a: left, b: right });
    },
  );
  const [left, right] = [objectOf(layersA), objectOf(layersB)];
  for (const name of [...new Set([...Object.keys(left), ...Object.keys(right)])].sort()) {
    if (isSame(left[name], right[name])) continue;
    differences.push({ kind: 'layer', name, a: left[name], b: right[name] });
  }
  return differences;
}

function diffFields(
  place: string,
  a: JsonObject,
  b: JsonObject,
  found: (field: string, a: JsonValue | undefined, b: JsonValue | undefined) => void,
): void {
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const [left, right] = [a[name], b[name]];
    if (isSame(left, right)) continue;
    const inner = place === '' ? name : `${place}.${name}`;
    if (isJsonObject(left) && isJsonObject(right)) diffFields(inner, left, right, found);
    else found(inner, left, right);
  }
}

/** Whatever the order of the fields. */
function isSame(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (isJsonObject(a) && isJsonObject(b)) {
    const names = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...names].every((name) => isSame(a[name], b[name]));
  }
  return formatExactJson(a) === formatExactJson(b);
}

function objectOf(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}
