import { describe, expect, test } from 'vitest';
import { parseError, runCli } from './support.ts';

const COMMANDS = [
  ['build'],
  ['inspect'],
  ['dump'],
  ['get'],
  ['verify'],
  ['index'],
  ['metadata'],
  ['key'],
  ['import', 'pgdata'],
  ['export', 'page'],
];

describe('help', () => {
  test.each(COMMANDS)('help of %s %s shows examples on standard output', async (...words) => {
    const result = await runCli([...words, '--help']);
    expect(result.status).toBe(0);
    expect(result.stderr).toBe('');
    expect(result.stdout).toContain(`Usage: layerfile ${words.join(' ')}`);
    expect(result.stdout).toContain(`Examples:\n  layerfile ${words.join(' ')} `);
  });

  test('help names every command and every exit status', async () => {
    const { stdout } = await runCli(['--help']);
    for (const [name] of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
    for (const status of [0, 1, 2, 3, 4, 130]) expect(stdout).toMatch(new RegExp(`\\b${status} `));
  });

  test.each([
    ['dump', ['help', 'dump']],
    ['import pgdata', ['help', 'import', 'pgdata']],
    ['[options]', ['help']],
  ])('help that is asked for in words shows the usage of %s', async (usage, words) => {
    const result = await runCli(words);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).toContain(`Usage: layerfile ${usage}`);
  });

  test('help carries colour only where it may', async () => {
    const plain = await runCli(['dump', '--help']);
    expect(plain.stdout).not.toContain('\x1b');
    const coloured = await runCli(['dump', '--help'], { terminal: true });
    expect(coloured.stdout).toContain('\x1b[');
    const dumb = await runCli(['dump', '--help'], {
      terminal: true,
      environment: { TERM: 'dumb' },
    });
    expect(dumb.stdout).not.toContain('\x1b');
  });

  test('the version is that of the package', async () => {
    const result = await runCli(['--version']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('wrong usage', () => {
  test.each([
    ['no command', []],
    ['an unknown command', ['dmp', 'file']],
    ['an unknown command below another', ['import', 'pgdat']],
    ['a command that lacks its second word', ['export']],
    ['help for an unknown command', ['help', 'verfy']],
    ['help for an unknown command below another', ['help', 'import', 'nope']],
    ['an unknown flag', ['dump', 'file', '--jsn']],
    ['a flag of another command', ['inspect', 'file', '--raw']],
    ['an unknown short flag', ['dump', 'file', '-x']],
    ['a missing argument', ['inspect']],
    ['a missing key', ['get', 'file']],
    ['an argument too many', ['inspect', 'one', 'two']],
    ['a flag without its value', ['dump', 'file', '--limit']],
    ['two formats', ['dump', 'file', '--json', '--ndjson']],
    ['two formats of verify', ['verify', 'file', '--json', '--ndjson']],
    ['raw and JSON', ['get', 'file', 'key', '--raw', '--json']],
    ['an unknown choice of values', ['dump', 'file', '--values', 'base64']],
    ['a limit below 0', ['dump', 'file', '--limit', '-1']],
    ['a limit that is not a number', ['dump', 'file', '--limit', '1e3']],
    ['a key that is too short', ['dump', 'file', '--key-start', '00']],
    ['an invalid LSN', ['dump', 'file', '--lsn-end', '0/']],
    ['a number of findings that is not a number', ['verify', 'file', '--max-findings', 'all']],
    ['an invalid key in get', ['get', 'file', 'xyz']],
    ['an unknown field', ['key', 'rell=1/2/3', 'blkno=1']],
    ['no --out', ['build', 'file']],
    ['a level below the lowest', ['build', '--out', '.', '--zstd', '-8']],
    ['a level above the highest', ['build', '--out', '.', '--zstd', '23']],
    ['a level that is not a number', ['build', '--out', '.', '--zstd=fast']],
    ['compression and none', ['build', '--out', '.', '--zstd', '3', '--no-compress']],
    ['a generation of 7 digits', ['build', '--out', '.', '--generation', '000002a']],
    ['an assignment without --set', ['metadata', 'file', 'pg_version=16']],
    ['a name that cannot be set', ['metadata', 'file', '--set', 'checksum=1']],
    ['an unknown name', ['metadata', 'file', '--set', 'pg_versoin=16']],
    ['an assignment without a value', ['metadata', 'file', '--set', 'pg_version']],
    ['a tenant of 31 digits', ['import', 'pgdata', '.', '--out', '.', '--tenant', '0'.repeat(31)]],
  ])('%s is wrong usage, for people and for programs', async (_, words) => {
    const people = await runCli(words);
    expect(people).toMatchObject({ status: 2, stdout: '' });
    if (!words.includes('--json')) expect(people.stderr).toMatch(/^error\[usage\]: /m);

    const programs = await runCli([...words, '--json']);
    expect(programs).toMatchObject({ status: 2, stdout: '' });
    expect(parseError(programs)).toMatchObject({ code: 'usage' });
  });

  test.each([
    [['dump', 'file', '--ndjso'], '--ndjson'],
    [['dmup', 'file'], 'dump'],
    [['help', 'verfy'], 'Did you mean verify?'],
    [['import', 'pgdat'], 'pgdata'],
    [['dump', 'file', '--frobnicate'], 'layerfile dump --help'],
  ])('the wrong usage %j gets a suggestion', async (words, suggestion) => {
    const { stderr } = await runCli(words);
    expect(stderr).toContain(suggestion);
  });

  test.each([
    [['build', '-'], ["'--out <dir>'"]],
    [['import', 'pgdata', '.'], ["'--out <dir>', '--tenant <id>', '--timeline <id>'"]],
    [['import', 'pgdata', '.', '--out', '.'], ["'--tenant <id>', '--timeline <id>'"]],
    [
      ['import', 'pgdata'],
      ["missing required argument 'dir'", "'--out <dir>', '--tenant <id>', '--timeline <id>'"],
    ],
  ])('the wrong usage %j names everything that is missing', async (words, parts) => {
    const { status, stderr } = await runCli(words);
    expect(status).toBe(2);
    for (const part of parts) expect(stderr).toContain(part);
  });

  test('control characters of an argument come out escaped', async () => {
    const hostile = '\x1b]52;c;AAAA\x07\u202e\n\x9b31m';
    const runs = [
      [`--${hostile}`],
      [hostile],
      ['dump', 'file', '--limit', hostile],
      ['get', 'file', hostile],
      ['inspect', hostile],
      ['inspect', hostile, '--json'],
    ];
    for (const words of runs) {
      const { stderr, stdout } = await runCli(words, {
        terminal: true,
        environment: { NO_COLOR: '1' },
      });
      expect(stdout).toBe('');
      expect(stderr.replaceAll('\n', '')).toMatch(/^[^\p{Cc}\p{Cf}]+$/u);
    }
  });
});
