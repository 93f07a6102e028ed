import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isStorageError } from '../../src/errors.ts';
import { parseKey } from '../../src/layers/key.ts';
import { formatLayerName, parseLayerName } from '../../src/layers/layer-name.ts';
import { parseLsn } from '../../src/layers/lsn.ts';
import { isCanonicalName } from '../../src/layers/name-digits.ts';
import { canonicalLayerName } from '../../src/timeline/index-part/index-fields.ts';
import { rounds } from '../support/rounds.ts';

const A = '000000067F000000050000400000FFFFFFFF';
const B = '000000067F000000050000400100FFFFFFFF';
const LSN = '00000000016960E8';
const NEXT = '00000000016960E9';

describe('a name is its own canonical name', () => {
  test.each([
    [`${A}-${B}__${LSN}`, true],
    [`${A}-${B}__${LSN}-${NEXT}`, true],
    [`${A}-${B.toLowerCase()}__${LSN}`, false],
    [`${A}-${B}__${LSN}-${NEXT.toLowerCase()}`, false],
    [`${A}-${B}__${LSN}-00000001`, false],
    [`${A}-${B}__${LSN}-v1-00000001`, false],
    [`${A}-${B}__${LSN}-${LSN}`, false],
    [`${B}-${A}__${LSN}-${NEXT}`, false],
    [`${A}-${B}_${LSN}_`, false],
    ['', false],
  ])('whether the name %s is canonical is told without parsing: %s', (name, expected) => {
    expect(isCanonicalName(name)).toBe(expected);
  });
});

/** Canonical names, and what a few changes make of them. */
function names(): fc.Arbitrary<string> {
  const digits = (length: number) =>
    fc.string({
      unit: fc.constantFrom(...'0123456789ABCDEF'),
      minLength: length,
      maxLength: length,
    });
  const canonical = fc
    .tuple(digits(36), digits(36), digits(16), fc.option(digits(16)))
    .map(([start, end, lsn, to]) => `${start}-${end}__${lsn}${to === null ? '' : `-${to}`}`);
  const change = fc.tuple(fc.nat(110), fc.constantFrom('', 'a', 'G', '-', '_', 'é'));
  return fc
    .tuple(canonical, fc.array(change, { maxLength: 2 }))
    .map(([name, changes]) =>
      changes.reduce((text, [at, to]) => text.slice(0, at) + to + text.slice(at + 1), name),
    );
}

test('the canonical name is what parsing and formatting give, or the same error', () => {
  const answer = (of: () => string): string => {
    try {
      return of();
    } catch (error) {
      if (!isStorageError(error)) throw error;
      return error.code;
    }
  };
  fc.assert(
    fc.property(names(), (name) => {
      const parsed = answer(() =>
        formatLayerName({ ...parseLayerName(name), generation: undefined }),
      );
      expect(answer(() => canonicalLayerName(name))).toBe(parsed);
    }),
    { numRuns: rounds(500) },
  );
});

test.each(['', '-v1-0000000a', '-v1-0000000A'])(
  'a canonical name with the suffix "%s" has the keys and LSNs that its digits say',
  (suffix) => {
    const generation = suffix === '' ? {} : { generation: suffix.slice(-8) };
    for (const [start, end] of [
      [LSN, NEXT],
      ['0000000000000000', 'FFFFFFFFFFFFFFFF'],
      ['80000000FFFFFFFF', '8000000100000000'],
    ] as const) {
      const keyRange = { start: parseKey(A), end: parseKey(B) };
      expect(parseLayerName(`${A}-${B}__${start}-${end}${suffix}`)).toEqual({
        kind: 'delta',
        keyRange,
        lsnRange: { start: parseLsn(start), end: parseLsn(end) },
        ...generation,
      });
      expect(parseLayerName(`${B}-${A}__${end}${suffix}`)).toEqual({
        kind: 'image',
        keyRange: { start: keyRange.end, end: keyRange.start },
        lsn: parseLsn(end),
        ...generation,
      });
    }
  },
);

test('keys of one name are not those of the next', () => {
  const first = parseLayerName(`${A}-${B}__${LSN}`);
  parseLayerName(`${B}-${A}__${LSN}`);
  expect(first.keyRange).toEqual({ start: parseKey(A), end: parseKey(B) });
});
