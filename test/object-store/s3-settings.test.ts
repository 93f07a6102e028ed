import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { readSettings } from '../../src/object-store/s3-settings.ts';
import { s3Store } from '../../src/object-store/s3-store.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

afterEach(() => vi.unstubAllEnvs());

const CONFIG = `
[default]
region = eu-west-1
[profile work]
region = eu-central-1
services = minio
[services minio]
s3 =
  endpoint_url = http://minio:9000
[profile plain]
endpoint_url = http://plain:9000
[profile both]
aws_access_key_id = AKCONFIG
aws_secret_access_key = other
[profile roles]
role_arn = arn:aws:iam::1:role/x
source_profile = default
`;
const CREDENTIALS = `
[default]
aws_access_key_id = AKDEFAULT
aws_secret_access_key = secret
[work]
aws_access_key_id = AKWORK
aws_secret_access_key = secret
aws_session_token = token
[both]
aws_access_key_id = AKBOTH
aws_secret_access_key = secret
`;

function sharedFiles(): void {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'config'), CONFIG);
  writeFileSync(join(directory, 'credentials'), CREDENTIALS);
  vi.stubEnv('AWS_CONFIG_FILE', join(directory, 'config'));
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', join(directory, 'credentials'));
}

const ANY = { isComplete: false };
const KEYS = { AWS_ACCESS_KEY_ID: 'AKENV', AWS_SECRET_ACCESS_KEY: 'secret' };

describe('settings of S3', () => {
  test('settings of S3 of the environment come before those of the files', async () => {
    sharedFiles();
    const environment = {
      ...KEYS,
      AWS_SESSION_TOKEN: 'token',
      AWS_REGION: 'r1',
      AWS_DEFAULT_REGION: 'r2',
      AWS_ENDPOINT_URL: 'http://all',
      AWS_ENDPOINT_URL_S3: 'http://s3',
    };
    expect(await readSettings(ANY, environment)).toMatchObject({
      region: 'r1',
      endpoint: 'http://s3',
      credentials: { accessKeyId: 'AKENV', secretAccessKey: 'secret', sessionToken: 'token' },
    });
    expect(
      await readSettings(ANY, { AWS_DEFAULT_REGION: 'r2', AWS_ENDPOINT_URL: 'http://all' }),
    ).toMatchObject({
      region: 'r2',
      endpoint: 'http://all',
      credentials: { accessKeyId: 'AKDEFAULT' },
    });
  });

  test.each([
    [
      'the default profile',
      {},
      undefined,
      { region: 'eu-west-1', credentials: { accessKeyId: 'AKDEFAULT' } },
    ],
    [
      'AWS_PROFILE',
      { AWS_PROFILE: 'work' },
      undefined,
      {
        region: 'eu-central-1',
        endpoint: 'http://minio:9000',
        credentials: { accessKeyId: 'AKWORK', sessionToken: 'token' },
      },
    ],
    [
      'a profile by option, before the keys of the environment',
      KEYS,
      'work',
      {
        credentials: { accessKeyId: 'AKWORK' },
      },
    ],
    [
      'a profile with keys in both files, those of the file of credentials',
      {},
      'both',
      { credentials: { accessKeyId: 'AKBOTH', secretAccessKey: 'secret' } },
    ],
    [
      'a profile without a service',
      { AWS_PROFILE: 'plain', ...KEYS },
      undefined,
      {
        endpoint: 'http://plain:9000',
        credentials: { accessKeyId: 'AKENV' },
      },
    ],
    [
      'empty variables',
      { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_REGION: '' },
      undefined,
      {
        region: 'eu-west-1',
        credentials: { accessKeyId: 'AKDEFAULT' },
      },
    ],
  ])(
    'the settings of %s are read from the shared files',
    async (_, environment, profile, expected) => {
      sharedFiles();
      expect(await readSettings({ ...ANY, profile }, environment)).toMatchObject(expected);
    },
  );

  test.each([
    ['missing', /there is no profile "missing"/],
    ['__proto__', /there is no profile "__proto__"/],
    ['plain', /profile "plain" has no access key/],
    ['roles', /profile "roles" has role_arn.*aws configure export-credentials/],
  ])(
    'the settings of the profile %s have no credentials, for a reason',
    async (profile, reason) => {
      sharedFiles();
      const { credentials, lacking } = await readSettings({ ...ANY, profile }, {});
      expect(credentials).toBeUndefined();
      expect(lacking).toMatch(reason);
      const store = s3Store({ bucket: 'layers', profile, endpoint: 'http://127.0.0.1:1' });
      expect(await storageErrorOf(store.head('a'))).toMatchObject({
        code: 'denied',
        message: expect.stringMatching(reason),
      });
    },
  );

  test('settings of S3 without any file are those of AWS, and nothing to sign with', async () => {
    vi.stubEnv('AWS_CONFIG_FILE', '/nowhere/config');
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere/credentials');
    expect(await readSettings(ANY, {})).toMatchObject({
      region: 'us-east-1',
      endpoint: undefined,
      credentials: undefined,
    });
  });
});

describe('the address of an object', () => {
  const credentials = { accessKeyId: 'AK', secretAccessKey: 'secret' };

  async function addressOf(options: object, key = 'a/b c'): Promise<string> {
    let address = '';
    const fetch = async (url: unknown): Promise<Response> => {
      address = String(url);
      return new Response(null, { status: 403 });
    };
    const store = s3Store({ bucket: 'layers', credentials, attempts: 1, fetch, ...options });
    await storageErrorOf(store.head(key));
    return address;
  }

  test.each([
    [{ region: 'eu-central-1' }, 'https://layers.s3.eu-central-1.amazonaws.com/a/b%20c'],
    [{ region: 'cn-north-1' }, 'https://layers.s3.cn-north-1.amazonaws.com.cn/a/b%20c'],
    [{ region: 'x', bucket: 'with.dots' }, 'https://s3.x.amazonaws.com/with.dots/a/b%20c'],
    [{ region: 'x', addressing: 'path' }, 'https://s3.x.amazonaws.com/layers/a/b%20c'],
    [{ endpoint: 'http://minio:9000' }, 'http://layers.minio:9000/a/b%20c'],
    [{ endpoint: 'http://minio:9000', addressing: 'path' }, 'http://minio:9000/layers/a/b%20c'],
    [{ endpoint: 'http://localhost:9000' }, 'http://localhost:9000/layers/a/b%20c'],
    [{ endpoint: 'http://[::1]:9000' }, 'http://[::1]:9000/layers/a/b%20c'],
    [{ endpoint: 'http://10.0.0.1' }, 'http://10.0.0.1/layers/a/b%20c'],
    [{ endpoint: 'https://host/s3/' }, 'https://layers.host/s3/a/b%20c'],
    [{ endpoint: 'http://localhost', prefix: '/p/q/' }, 'http://localhost/layers/p/q/a/b%20c'],
  ])('the address of an object with the options %j is %s', async (options, expected) => {
    expect(await addressOf({ region: 'us-east-1', ...options })).toBe(expected);
  });
});

test.each([
  [{ bucket: '' }],
  [{ bucket: 'a/b' }],
  [{ bucket: '../x' }],
  [{ bucket: 'a', endpoint: 'minio:9000' }],
  [{ bucket: 'a', endpoint: 'http://h?x=1' }],
  [{ bucket: 'a', prefix: 'a/../b' }],
  [{ bucket: 'a', attempts: 0 }],
  [{ bucket: 'a', timeoutMs: 0 }],
  [{ bucket: 'a', maximumInFlight: 0 }],
  [{ bucket: 'a', credentials: {} }],
  [{ bucket: 'a', addressing: 'other' }],
])('a store with %j is refused', (options) => {
  const make = () => Reflect.apply(s3Store, undefined, [options]);
  expect(storageErrorThrownBy(make).code).toBe('invalid-input');
});
