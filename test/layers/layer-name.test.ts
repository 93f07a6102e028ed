/** Names of layer files: what is read, what is written, what is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseKey } from '../../src/layers/key.ts';
import {
  checkGeneration,
  formatLayerName,
  type LayerName,
  parseLayerName,
  sameLayer,
} from '../../src/layers/layer-name.ts';
import { MAXIMUM_LSN } from '../../src/layers/lsn.ts';
import {
  formatIndexScratchName,
  formatScratchName,
  formatTemporaryName,
  isTemporaryName,
} from '../../src/layers/temporary-names.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const START = '000000067F00000005000040000000000000';
const END = '000000067F00000005000040000000000150';
const LSN = '0000000001000000';
const END_LSN = '0000000002000000';
const KEYS = `${START}-${END}`;
const TOKEN = '0123456789abcdef0123456789abcdef0123';
const DELTA_NAME = `${KEYS}__${LSN}-${END_LSN}`;
const IMAGE_NAME = `${KEYS}__${LSN}`;

const keyRange = { start: parseKey(START), end: parseKey(END) };
const lsnRange = { start: 0x100_0000n, end: 0x200_0000n };
const DELTA: LayerName = { kind: 'delta', keyRange, lsnRange };
const IMAGE: LayerName = { kind: 'image', keyRange, lsn: 0x100_0000n };

describe('the name of a layer', () => {
  it.each<[string, string, LayerName]>([
    ['a delta', DELTA_NAME, DELTA],
    ['an image', IMAGE_NAME, IMAGE],
    [
      'a delta with a generation',
      `${DELTA_NAME}-v1-00abcdef`,
      { ...DELTA, generation: '00abcdef' },
    ],
    [
      'an image with a generation',
      `${IMAGE_NAME}-v1-00abcdef`,
      { ...IMAGE, generation: '00abcdef' },
    ],
    ['a remote delta', `${DELTA_NAME}-0000001f`, { ...DELTA, generation: '0000001f' }],
  ])('the name of a layer of %s is parsed', (_, name, expected) => {
    expect(parseLayerName(name)).toEqual(expected);
  });

  it('the name of a remote image layer is read if its generation is not an LSN above its own', () => {
    expect(parseLayerName(`${IMAGE_NAME}-0000001f`)).toEqual({ ...IMAGE, generation: '0000001f' });
  });

  it.each<[string, string, LayerName]>([
    ['lower case', DELTA_NAME.toLowerCase(), DELTA],
    ['short LSNs', `${KEYS}__1000000-2000000`, DELTA],
    ['an LSN of one digit', `${KEYS}__0`, { kind: 'image', keyRange, lsn: 0n }],
    ['the last LSN', `${KEYS}__${'F'.repeat(16)}`, { kind: 'image', keyRange, lsn: MAXIMUM_LSN }],
    ['-v and nothing', `${DELTA_NAME}-v`, DELTA],
    ['-v with anything behind it', `${IMAGE_NAME}-v2-whatever this is`, IMAGE],
    ['-v1- and a short generation', `${DELTA_NAME}-v1-1f`, DELTA],
    ['a dash with 8 other characters', `${IMAGE_NAME}-zzzzzzzz`, IMAGE],
    ['upper-case generation', `${DELTA_NAME}-v1-00ABCDEF`, { ...DELTA, generation: '00ABCDEF' }],
  ])('the name of a layer with %s is parsed', (_, name, expected) => {
    expect(parseLayerName(name)).toEqual(expected);
  });

  it('the name of a layer of an image may have its keys in any order', () => {
    const reversed = `${END}-${START}__${LSN}`;
    const empty = `${START}-${START}__${LSN}`;
    expect(parseLayerName(reversed).kind).toBe('image');
    expect(parseLayerName(empty).kind).toBe('image');
  });

  it.each([
    ['nothing', ''],
    ['a short key', `${START.slice(1)}-${END}__${LSN}`],
    ['a long key', `0${START}-${END}__${LSN}`],
    ['a short second key', `${START}-${END.slice(1)}__${LSN}`],
    ['a key that is not hex', `${START.replace('7', 'g')}-${END}__${LSN}`],
    ['one key', `${START}__${LSN}`],
    ['one underscore', `${KEYS}_${LSN}`],
    ['three underscores', `${KEYS}___${LSN}`],
    ['no LSN', `${KEYS}__`],
    ['an LSN of 17 digits', `${KEYS}__0${LSN}`],
    ['an end LSN of 17 digits', `${KEYS}__${LSN}-0${END_LSN}`],
    ['a sign in front of an LSN', `${KEYS}__+${LSN.slice(1)}`],
    ['a sign in front of an end LSN', `${KEYS}__${LSN}-+200000`],
    ['equal LSNs', `${KEYS}__${LSN}-${LSN}`],
    ['reversed LSNs', `${KEYS}__${END_LSN}-${LSN}`],
    ['equal keys in a delta', `${START}-${START}__${LSN}-${END_LSN}`],
    ['reversed keys in a delta', `${END}-${START}__${LSN}-${END_LSN}`],
    ['a suffix of 7 characters', `${DELTA_NAME}-0000001`],
    ['a suffix of 9 characters', `${DELTA_NAME}-000000001`],
    ['a suffix without a dash', `${IMAGE_NAME}v1-00000001`],
    ['a dash and nothing', `${DELTA_NAME}-`],
    ['an extension', `${DELTA_NAME}.tmp`],
    ['a blank in front', ` ${DELTA_NAME}`],
    ['a line end behind it', `${DELTA_NAME}\n`],
    ['a directory in front', `layers/${DELTA_NAME}`],
    ['the name of a temporary delta', formatTemporaryName(DELTA, TOKEN)],
    ['the name of a temporary image', formatTemporaryName(IMAGE, TOKEN)],
    ['digits that are not ASCII', `${KEYS}__${'１'.repeat(16)}`],
  ])('the name of a layer with %s is refused', (_, name) => {
    const error = storageErrorThrownBy(() => parseLayerName(name));
    expect(error.code).toBe('invalid-input');
  });

  it.each([
    ['a separator', `${IMAGE_NAME}-v1/../../etc/passwd`],
    ['a separator among 8 characters', `${IMAGE_NAME}-../../..`],
    ['a backslash', `${DELTA_NAME}-v1\\x`],
    ['NUL', `${DELTA_NAME}-v1-00000001\0`],
    ['NUL among 8 characters', `${IMAGE_NAME}-000\0${'0'.repeat(4)}`],
  ])('the name of a layer with %s in its suffix is refused', (_, name) => {
    expect(storageErrorThrownBy(() => parseLayerName(name)).code).toBe('invalid-input');
  });

  it('the name of a layer of more than 255 bytes is refused', () => {
    const suffixOf = (length: number) => 'x'.repeat(length - DELTA_NAME.length - 2);
    expect(parseLayerName(`${DELTA_NAME}-v${suffixOf(255)}`)).toEqual(DELTA);
    expect(storageErrorThrownBy(() => parseLayerName(`${DELTA_NAME}-v${suffixOf(256)}`)).code).toBe(
      'invalid-input',
    );
    const wide = `${DELTA_NAME}-v${'ü'.repeat(100)}`;
    expect(wide.length).toBeLessThan(255);
    expect(storageErrorThrownBy(() => parseLayerName(wide)).code).toBe('invalid-input');
    expect(storageErrorThrownBy(() => parseLayerName('x'.repeat(1e7))).message.length).toBeLessThan(
      1000,
    );
  });

  it.each([[`${KEYS}__01000000-02000000`], [`${KEYS}__${LSN}-02000000`]])(
    'a name that both a delta and an image with a generation could have is refused: %s',
    (name) => {
      expect(storageErrorThrownBy(() => parseLayerName(name))).toMatchObject({
        code: 'ambiguous-name',
      });
    },
  );

  it('the name of a layer that would be ambiguous but for its ranges is an image', () => {
    const reversedLsns = `${KEYS}__02000000-01000000`;
    const reversedKeys = `${END}-${START}__01000000-02000000`;
    expect(parseLayerName(reversedLsns)).toEqual({
      kind: 'image',
      keyRange,
      lsn: 0x200_0000n,
      generation: '01000000',
    });
    expect(parseLayerName(reversedKeys).kind).toBe('image');
  });

  it('the name of a layer shows nothing of a refused name but what can be printed', () => {
    const error = storageErrorThrownBy(() => parseLayerName(`\u001b]52;c;x\u0007${DELTA_NAME}`));
    expect(error.message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

describe('writing a name', () => {
  it('writing a name gives the canonical form', () => {
    expect(formatLayerName(DELTA)).toBe(DELTA_NAME);
    expect(formatLayerName(IMAGE)).toBe(IMAGE_NAME);
    expect(formatLayerName({ ...DELTA, generation: '00ABCDEF' })).toBe(`${DELTA_NAME}-v1-00abcdef`);
    expect(formatLayerName(parseLayerName(`${DELTA_NAME.toLowerCase()}-v9`))).toBe(DELTA_NAME);
  });

  it.each([[''], ['1'], ['000000001'], ['0000000g'], ['00000001\n'], ['../../..']])(
    'writing a name with the generation %j is refused',
    (generation) => {
      const refused = { code: 'invalid-input' };
      expect(storageErrorThrownBy(() => checkGeneration(generation))).toMatchObject(refused);
      expect(storageErrorThrownBy(() => formatLayerName({ ...IMAGE, generation }))).toMatchObject(
        refused,
      );
    },
  );

  it.each([[-1n], [MAXIMUM_LSN + 1n]])('writing a name with the LSN %d is refused', (lsn) => {
    const range = { start: 0n, end: lsn };
    const refused = { code: 'out-of-range' };
    expect(storageErrorThrownBy(() => formatLayerName({ ...IMAGE, lsn }))).toMatchObject(refused);
    expect(
      storageErrorThrownBy(() => formatLayerName({ ...DELTA, lsnRange: range })),
    ).toMatchObject(refused);
  });

  it('a name round-trips through parsing and writing', () => {
    fc.assert(
      fc.property(layerNames(), (name) => {
        const text = formatLayerName(name);
        expect(parseLayerName(text)).toEqual(name);
        expect(isTemporaryName(text)).toBe(false);
      }),
    );
  });

  it('two names of one layer are recognized', () => {
    expect(sameLayer(DELTA, { ...DELTA, generation: '00000001' })).toBe(true);
    expect(sameLayer(DELTA, IMAGE)).toBe(false);
    expect(sameLayer(IMAGE, { ...IMAGE, lsn: 1n })).toBe(false);
    expect(sameLayer(DELTA, { ...DELTA, lsnRange: { ...lsnRange, end: 0x200_0001n } })).toBe(false);
  });
});

describe('a temporary name', () => {
  it('a temporary name is that of a delta without its end key, with a token', () => {
    const expected = `${START}-XXX__${LSN}-${END_LSN}.${TOKEN}.___temp`;
    expect(formatTemporaryName(DELTA, TOKEN)).toBe(expected);
    expect(formatTemporaryName({ ...DELTA, generation: '00000001' }, TOKEN)).toBe(expected);
  });

  it('a temporary name is the complete name of an image, with a token', () => {
    expect(formatTemporaryName(IMAGE, TOKEN)).toBe(`${IMAGE_NAME}.${TOKEN}.___temp`);
  });

  it('a temporary name of index blocks is that of the layer with a mark', () => {
    expect(formatIndexScratchName(IMAGE, TOKEN)).toBe(`${IMAGE_NAME}-index.${TOKEN}.___temp`);
  });

  it('a temporary name has at most the 143 bytes that eCryptfs takes', () => {
    for (const format of [formatTemporaryName, formatIndexScratchName]) {
      for (const name of [DELTA, IMAGE, { ...IMAGE, generation: '00000001' }]) {
        expect(format(name, TOKEN).length).toBeLessThanOrEqual(143);
      }
    }
  });

  it.each([
    [formatTemporaryName(DELTA, TOKEN), true],
    [formatTemporaryName(IMAGE, TOKEN), true],
    [formatIndexScratchName(IMAGE, TOKEN), true],
    [formatScratchName(TOKEN), true],
    ['ephemeral-12', true],
    ['anything.___temp', true],
    [DELTA_NAME, false],
    [`${IMAGE_NAME}-v1-00000001`, false],
    ['metadata', false],
    ['my-ephemeral-1', false],
    ['.___temp.bak', false],
    ['.___temp', false],
    ['ephemeral-', false],
    ['ephemeral-notes', false],
  ])('whether %s is a temporary name is told', (name, isTemporary) => {
    expect(isTemporaryName(name)).toBe(isTemporary);
  });
});

function layerNames(): fc.Arbitrary<LayerName> {
  const key = fc.uint8Array({ minLength: 18, maxLength: 18 });
  const lsn = fc.bigInt({ min: 0n, max: MAXIMUM_LSN });
  const generation = fc.option(fc.stringMatching(/^[0-9a-f]{8}$/), { nil: undefined });
  return fc
    .record({ left: key, right: key, low: lsn, high: lsn, generation, isDelta: fc.boolean() })
    .filter(({ left, right, low, high }) => Buffer.compare(left, right) < 0 && low < high)
    .map(({ left, right, low, high, isDelta, ...rest }) => {
      const suffix = rest.generation === undefined ? {} : { generation: rest.generation };
      const range = { start: left, end: right };
      return isDelta
        ? { kind: 'delta', keyRange: range, lsnRange: { start: low, end: high }, ...suffix }
        : { kind: 'image', keyRange: range, lsn: low, ...suffix };
    });
}
