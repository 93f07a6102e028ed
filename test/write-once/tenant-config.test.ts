import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import {
  formatTenantConfig,
  parseTenantConfig,
  readTenantConfig,
  type TenantConfig,
  writeTenantConfig,
} from '../../src/write-once/tenant-config.ts';
import { type TomlValue, tomlTable } from '../../src/write-once/toml-value.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const HEADER = `# This file contains a specific per-tenant's config.
#  It is read in case of pageserver restart.
`;

const OLDER = `${HEADER}
[tenant_config]
checkpoint_distance = 268435456
checkpoint_timeout = "10m"
pitr_interval = "7days"
trace_read_requests = false

[tenant_config.eviction_policy]
kind = "LayerAccessThreshold"
period = "20m"
`;

const ATTACHED = `${HEADER}[mode.Attached]
generation = 3
attach_mode = "Single"

[shard]
number = 1
count = 2
stripe_size = 32768

[tenant_conf]
gc_horizon = 67108864
`;

const SECONDARY = `${HEADER}[mode.Secondary]
warm = true

[tenant_conf]
`;

function older(settings: Iterable<readonly [string, TomlValue]>): TenantConfig {
  return { form: 'tenant-config', settings: tomlTable(settings), other: tomlTable() };
}

describe('the older form', () => {
  test('a configuration in the older form is parsed into its settings', () => {
    expect(parseTenantConfig(OLDER)).toEqual({
      form: 'tenant-config',
      settings: tomlTable([
        ['checkpoint_distance', 268435456n],
        ['checkpoint_timeout', '10m'],
        ['pitr_interval', '7days'],
        ['trace_read_requests', false],
        [
          'eviction_policy',
          tomlTable([
            ['kind', 'LayerAccessThreshold'],
            ['period', '20m'],
          ]),
        ],
      ]),
      other: tomlTable(),
    });
  });

  test('a configuration in the older form without settings still has its table', () => {
    const text = `${HEADER}\n[tenant_config]\n`;
    expect(formatTenantConfig(older([]))).toBe(text);
    expect(parseTenantConfig(text)).toEqual(older([]));
  });
});

describe('the newer form', () => {
  test('a configuration in the newer form of an attached tenant is parsed into mode, shard and settings', () => {
    expect(parseTenantConfig(ATTACHED)).toEqual({
      form: 'location',
      mode: { kind: 'attached', generation: 3, attachMode: 'Single', other: tomlTable() },
      shard: tomlTable([
        ['number', 1n],
        ['count', 2n],
        ['stripe_size', 32768n],
      ]),
      settings: tomlTable([['gc_horizon', 67108864n]]),
      other: tomlTable(),
    });
  });

  test('a configuration in the newer form of a secondary tenant may lack the shard', () => {
    expect(parseTenantConfig(SECONDARY)).toEqual({
      form: 'location',
      mode: { kind: 'secondary', warm: true, other: tomlTable() },
      shard: null,
      settings: tomlTable(),
      other: tomlTable(),
    });
  });

  test('a configuration in the newer form may lack the fields of its mode and the settings', () => {
    expect(parseTenantConfig('[mode.Attached]\n')).toMatchObject({
      mode: { kind: 'attached', generation: null, attachMode: null },
      settings: tomlTable(),
    });
    expect(parseTenantConfig('mode.Secondary = {}')).toMatchObject({
      mode: { kind: 'secondary', warm: null },
    });
  });
});

describe('a configuration that is read and written', () => {
  test.each([OLDER, ATTACHED, SECONDARY])(
    'a configuration that is read and written is the same text, case %#',
    (text) => {
      expect(formatTenantConfig(parseTenantConfig(text))).toBe(text);
    },
  );

  test.each([0, 0xffff_ffff])(
    'a configuration that is read and written keeps generation %i',
    (generation) => {
      const config = parseTenantConfig(`[mode.Attached]\ngeneration = ${generation}\n`);
      expect(config).toMatchObject({ mode: { generation } });
      expect(formatTenantConfig(config)).toContain(`generation = ${generation}\n`);
    },
  );

  test('a configuration that is read and written keeps tables and fields that we do not know, everywhere', () => {
    const text = `${HEADER}format = 2

[mode.Attached]
generation = 1
lease = 1.0

[tenant_conf]
limits = [ 1, 2 ]

[future]
since = 2024-02-29T12:00:00.000+02:00
`;
    const config = parseTenantConfig(text);
    expect(config).toMatchObject({
      mode: { other: { lease: 1 } },
      settings: { limits: [1n, 2n] },
      other: { format: 2n },
    });
    const again = parseTenantConfig(formatTenantConfig(config));
    expect(again).toEqual(config);
    expect(formatTenantConfig(config)).toContain('lease = 1.0\n');
    expect(formatTenantConfig(config)).toContain('since = 2024-02-29T12:00:00.000+02:00\n');
  });

  test.each([
    ['the largest', 2n ** 63n - 1n],
    ['the smallest', -(2n ** 63n)],
    ['one beyond 2^53', 2n ** 53n + 1n],
  ])('a configuration keeps %s 64-bit integer exactly', (_, value) => {
    const text = formatTenantConfig(older([['x', value]]));
    expect(text).toContain(`x = ${value}\n`);
    expect(parseTenantConfig(text).settings['x']).toBe(value);
  });

  test('a configuration that is read and written is the same, whatever is in it', () => {
    const text = fc.string({ unit: 'grapheme' });
    const scalar = fc.oneof(
      text,
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.double({ noNaN: true }).filter((value) => !Object.is(value, -0)),
      fc.boolean(),
    );
    const { value } = fc.letrec<{ value: TomlValue; table: TomlValue }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        scalar,
        fc.array(tie('value'), { maxLength: 4 }),
        tie('table'),
      ),
      table: fc.array(fc.tuple(text, tie('value')), { maxLength: 4 }).map((all) => tomlTable(all)),
    }));
    fc.assert(
      fc.property(fc.array(fc.tuple(text, value)), (entries) => {
        const config = older(entries);
        expect(parseTenantConfig(formatTenantConfig(config))).toEqual(config);
      }),
    );
  });
});

describe('keys of prototypes', () => {
  test('keys of prototypes are keys like any other', () => {
    const config = parseTenantConfig(`
      [tenant_config]
      constructor = 1
      [tenant_config.__proto__]
      polluted = true
      [__proto__.x]
      polluted = true
      [tenant_config.a.__proto__]
      polluted = true
    `);
    expect(Object.entries(config.settings)).toContainEqual([
      '__proto__',
      tomlTable([['polluted', true]]),
    ]);
    expect(config.settings['polluted']).toBeUndefined();
    expect(config.settings['toString']).toBeUndefined();
    expect(Object.prototype).not.toHaveProperty('polluted');
    const text = formatTenantConfig(config);
    expect(text).toContain('[tenant_config.__proto__]\npolluted = true');
    expect(parseTenantConfig(text)).toEqual(config);
  });

  test('keys of prototypes do not stand for a table that is missing', () => {
    expect(storageErrorThrownBy(() => parseTenantConfig('[__proto__.mode.Attached]')).code).toBe(
      'corrupt',
    );
  });
});

describe('text that is not a configuration', () => {
  test.each<[string, string, number | undefined]>([
    ['nothing', '', undefined],
    ['other tables only', '[other]\n', undefined],
    ['both forms', '[tenant_config]\n[tenant_conf]\n', undefined],
    ['settings without a mode', '[tenant_conf]\n', undefined],
    ['an empty mode', '[mode]\n', undefined],
    ['two modes', '[mode.Attached]\n[mode.Secondary]\n', undefined],
    ['an unknown mode', '[mode.Detached]\n', undefined],
    ['a mode with more', '[mode.Attached]\n[mode.More]\n', undefined],
    ['a mode that is no table', 'mode = "Attached"\n', undefined],
    ['a list in place of the settings', '[[tenant_config]]\n', undefined],
    ['a time in place of the settings', 'tenant_config = 2024-01-01\n', undefined],
    ['a generation below 0', 'mode.Attached.generation = -1\n', undefined],
    ['a generation of 33 bits', 'mode.Attached.generation = 4294967296\n', undefined],
    ['a generation that is a float', 'mode.Attached.generation = 1.0\n', undefined],
    ['an attach mode that is no text', 'mode.Attached.attach_mode = 1\n', undefined],
    ['a warmth that is no boolean', 'mode.Secondary.warm = "yes"\n', undefined],
    ['an integer of 65 bits', '[tenant_config]\nx = 9223372036854775808\n', undefined],
    ['no TOML', '[tenant_config]\nx = \n', 20],
    ['no TOML behind other characters', '"é" = 1\r\n"é" = 1\n', 10],
    ['a table twice', '[tenant_config]\n[tenant_config]\n', 17],
  ])('a configuration with %s is corrupt', (_, text, offset) => {
    const error = storageErrorThrownBy(() => parseTenantConfig(text));
    expect({ code: error.code, offset: error.offset }).toEqual({ code: 'corrupt', offset });
  });

  test.each([
    ['arrays in arrays', `tenant_config.x = ${'['.repeat(100_000)}`],
    ['tables in tables', `tenant_config.x = ${'{a='.repeat(100_000)}`],
    ['a key of many parts', `tenant_config.${'a.'.repeat(100_000)}a = 1`],
    ['a table of many parts', `[${'a.'.repeat(100_000)}a]`],
    ['many tables of many parts', `[${'a.'.repeat(60)}b]\n`.repeat(5_000)],
  ])('a configuration of %s is refused', (_, text) => {
    expect(storageErrorThrownBy(() => parseTenantConfig(text)).code).toBe('corrupt');
  });
});

describe('a configuration that cannot be written', () => {
  const circular: TomlValue[] = [];
  circular.push(circular);

  test.each<[string, TenantConfig]>([
    ['an integer of 65 bits', older([['x', 2n ** 63n]])],
    ['text that is no Unicode', older([['x', '\ud800']])],
    ['a key that is no Unicode', older([['\ud800', 1n]])],
    ['an invalid time', older([['x', new Date(Number.NaN)]])],
    ['a list that holds itself', older([['x', circular]])],
    ['a list with a hole', older([['x', new Array<TomlValue>(1)]])],
    ['a known name among the others', { ...older([]), other: tomlTable([['tenant_config', 1n]]) }],
    [
      'a generation of 33 bits',
      {
        form: 'location',
        mode: { kind: 'attached', generation: 2 ** 32, attachMode: null, other: tomlTable() },
        shard: null,
        settings: tomlTable(),
        other: tomlTable(),
      },
    ],
  ])('writing a configuration with %s is invalid input', (_, config) => {
    expect(storageErrorThrownBy(() => formatTenantConfig(config)).code).toBe('invalid-input');
  });
});

describe('a configuration file', () => {
  test('a configuration file is written and read', async () => {
    const openFiles = new OpenFiles({ fileSystem: new MemoryFileSystem() });
    const config = parseTenantConfig(ATTACHED);
    await writeTenantConfig('/config-v1', config, { openFiles });
    expect(await readTenantConfig('/config-v1', { openFiles })).toEqual(config);
  });

  test.each<[string, Uint8Array, string, number | undefined]>([
    ['is no TOML', Buffer.from('[tenant_config'), 'corrupt', 1],
    ['is no UTF-8', Buffer.from([0x23, 0x20, 0xc3, 0xa9, 0xff, 0x0a]), 'corrupt', 4],
    ['ends in a character', Buffer.from([0x23, 0x20, 0xc3]), 'corrupt', 2],
    ['is too large', Buffer.alloc(1024 * 1024 + 1, '#'), 'too-large', undefined],
  ])('a configuration file that %s is named in the error', async (_, content, code, offset) => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/config', content);
    const openFiles = new OpenFiles({ fileSystem });
    const error = await storageErrorOf(readTenantConfig('/config', { openFiles }));
    expect(error).toMatchObject({ code, path: '/config' });
    expect(error.offset).toBe(offset);
    expect(fileSystem.openPaths).toEqual([]);
  });
});
