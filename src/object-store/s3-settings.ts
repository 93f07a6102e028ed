/**
 * Endpoint and credentials of S3, found in the order of the AWS command line: options, then the environment, then the
 * profile in the shared config and credentials files.
 */
import { StorageError } from '../errors.ts';

/** Credentials for signing requests. */
export interface S3Credentials {
  /** Identifies the key. */
  readonly accessKeyId: string;
  /** The key itself. */
  readonly secretAccessKey: string;
  /** Of temporary credentials. */
  readonly sessionToken?: string | undefined;
  /** When temporary credentials end; a function is then asked again a minute before. */
  readonly expiration?: Date | undefined;
}

/** Returns the credentials to sign with; called again when they have expired or were refused. */
export type S3CredentialProvider = () => Promise<S3Credentials>;

/** One profile of the shared files. */
type Profile = Readonly<Record<string, string | undefined>>;

export interface S3Settings {
  readonly region: string;
  /** Undefined: that of AWS for the region. */
  readonly endpoint: string | undefined;
  /** Undefined: none were found, for the reason in `lacking`. */
  readonly credentials: S3Credentials | undefined;
  readonly lacking: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the settings that options leave open. Reads the shared files only if something is missing. */
export async function readSettings(
  wanted: { readonly profile?: string | undefined; readonly isComplete: boolean },
  environment: Environment = process.env,
): Promise<S3Settings> {
  const region = textOf(environment['AWS_REGION']) ?? textOf(environment['AWS_DEFAULT_REGION']);
  const endpoint =
    textOf(environment['AWS_ENDPOINT_URL_S3']) ?? textOf(environment['AWS_ENDPOINT_URL']);
  const own = wanted.profile === undefined ? credentialsOf(environment) : undefined;
  const isFound = region !== undefined && endpoint !== undefined && own !== undefined;
  if (wanted.isComplete || isFound) {
    return { region: region ?? DEFAULT_REGION, endpoint, credentials: own, lacking: '' };
  }
  const name = wanted.profile ?? textOf(environment['AWS_PROFILE']) ?? 'default';
  const { profile, endpoint: endpointOfProfile } = await readProfile(name);
  return {
    region: region ?? textOf(profile?.['region']) ?? DEFAULT_REGION,
    endpoint: endpoint ?? endpointOfProfile,
    credentials: own ?? credentialsOfProfile(profile),
    lacking: lackOf(name, profile),
  };
}

const DEFAULT_REGION = 'us-east-1';

/** The error for requests without credentials. */
export function noCredentials(lacking: string, path: string): StorageError {
  return new StorageError('denied', { what: `no credentials for S3: ${lacking}`, path });
}

function credentialsOf(environment: Environment): S3Credentials | undefined {
  const accessKeyId = textOf(environment['AWS_ACCESS_KEY_ID']);
  const secretAccessKey = textOf(environment['AWS_SECRET_ACCESS_KEY']);
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, sessionToken: textOf(environment['AWS_SESSION_TOKEN']) };
}

function credentialsOfProfile(profile: Profile | undefined): S3Credentials | undefined {
  const accessKeyId = textOf(profile?.['aws_access_key_id']);
  const secretAccessKey = textOf(profile?.['aws_secret_access_key']);
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, sessionToken: textOf(profile?.['aws_session_token']) };
}

/** Ways to get credentials that this package leaves to other programs. */
const OTHER_WAYS = ['role_arn', 'credential_process', 'sso_session', 'sso_start_url'];

function lackOf(name: string, profile: Profile | undefined): string {
  if (profile === undefined) {
    return `set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; there is no profile "${name}"`;
  }
  const other = OTHER_WAYS.find((way) => profile[way] !== undefined);
  if (other === undefined) return `profile "${name}" has no access key`;
  const command = `aws configure export-credentials --profile ${name} --format env`;
  return `profile "${name}" has ${other}: set the variables that \`${command}\` prints`;
}

interface FoundProfile {
  readonly profile: Profile | undefined;
  readonly endpoint: string | undefined;
}

/** The credentials file wins where both files have a field. */
async function readProfile(name: string): Promise<FoundProfile> {
  const { loadSharedConfigFiles } = await import('@smithy/shared-ini-file-loader');
  const { configFile, credentialsFile } = await loadSharedConfigFiles({ ignoreCache: true });
  const found: Profile = { ...ownOf(configFile, name), ...ownOf(credentialsFile, name) };
  const profile = Object.keys(found).length === 0 ? undefined : found;
  const services = ownOf(configFile, `services.${profile?.['services'] ?? ''}`);
  const endpoint = textOf(services?.['s3.endpoint_url']) ?? textOf(profile?.['endpoint_url']);
  return { profile, endpoint };
}

function ownOf(file: Readonly<Record<string, Profile>>, name: string): Profile | undefined {
  return Object.hasOwn(file, name) ? file[name] : undefined;
}

function textOf(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value;
}
