/** Replaces the known fields of a JSON object and leaves all others in place. */
import type { JsonObject, JsonValue } from '../exact-json.ts';

/** Known fields in the order in which they are written; undefined: not written. */
export type KnownFields = readonly (readonly [name: string, value: JsonValue | undefined])[];

/**
 * The object with the known fields replaced. A known field that it has stays in its place; a new one
 * comes after the known field before it in the order, or first.
 */
export function mergeFields(old: JsonObject, known: KnownFields): JsonObject {
  const values = new Map(known);
  const names = Object.keys(old).filter(
    (name) => !values.has(name) || values.get(name) !== undefined,
  );
  let after = -1;
  for (const [name, value] of known) {
    if (value === undefined) continue;
    const at = names.indexOf(name);
    if (at >= 0) {
      after = at;
    } else {
      after += 1;
      names.splice(after, 0, name);
    }
  }
  // Not by assignment, which would treat `__proto__` specially.
  return Object.fromEntries(
    names.map((name) => [name, (values.has(name) ? values.get(name) : old[name]) ?? null]),
  );
}
