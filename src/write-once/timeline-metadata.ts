/**
 * Timeline metadata: 512 bytes, big-endian, written in one piece.
 *
 *   0    4       CRC-32C of bytes 8 to size
 *   4    2       size: 8 + length of the body
 *   6    2       format version: 4, or 3 (only read)
 *   8    8       disk_consistent_lsn; in version 4 a multiple of 8
 *        1 or 9  prev_record_lsn: 0, or 1 and the LSN
 *        1 or 17 ancestor_timeline: 0, or 1 and the raw id
 *        8       ancestor_lsn
 *        8       latest_gc_cutoff_lsn
 *        8       initdb_lsn
 *        4       pg_version: 14 to 17; missing in version 3, which means 14
 *        to 512  zero
 *
 * The checksum covers neither the version nor the padding; the body of each version has its own
 * length, so that a damaged version is not mistaken for another.
 * Source: Neon pageserver/src/tenant/metadata.rs.
 */
import { BincodeDecoder, BincodeEncoder } from '../bincode.ts';
import { checkBytes, checkObject } from '../check-options.ts';
import { crc32cOf } from '../checksum.ts';
import { corrupt, StorageError } from '../errors.ts';
import { formatIdentifier, IDENTIFIER_SIZE, parseIdentifier } from '../layers/identifier.ts';
import { checkLsn, formatPgLsn, type Lsn } from '../layers/lsn.ts';
import { valueText } from '../printable.ts';
import { type ReadSmallFileOptions, readSmallFile } from '../virtual-file/small-file.ts';
import { type OverwriteOptions, overwriteFile } from './overwrite.ts';

/** Size in bytes. */
export const TIMELINE_METADATA_SIZE = 512;
/** The version that is written. */
export const TIMELINE_METADATA_FORMAT_VERSION = 4;
export const MINIMUM_PG_VERSION = 14;
export const MAXIMUM_PG_VERSION = 17;

/** In errors. */
const WHAT = 'timeline metadata';
const PG_VERSIONS = `a version from ${MINIMUM_PG_VERSION} to ${MAXIMUM_PG_VERSION}`;

const OLD_FORMAT_VERSION = 3;
/** Version 3 is older than the choice of a Postgres version. */
const PG_VERSION_OF_OLD_FORMAT = 14;

const HEADER_SIZE = 8;
const CHECKSUM_OFFSET = 0;
const SIZE_OFFSET = 4;
const VERSION_OFFSET = 6;
const LSN_SIZE = 8;
const PG_VERSION_SIZE = 4;
const LSN_ALIGNMENT = 8n;
/** A file that is longer than this is not even read; one a little longer is corrupt. */
const MAXIMUM_FILE_LENGTH = 65_536;

/** The fields of timeline metadata. */
export interface TimelineMetadataFields {
  /** Everything up to this LSN is in layers. A multiple of 8, except in version 3. */
  readonly diskConsistentLsn: Lsn;
  /** LSN of the last record before `diskConsistentLsn`, if known. */
  readonly prevRecordLsn: Lsn | null;
  /** 32 lower-case hex digits. */
  readonly ancestorTimeline: string | null;
  /** 0 without an ancestor. */
  readonly ancestorLsn: Lsn;
  /** Nothing is read below it. */
  readonly latestGcCutoffLsn: Lsn;
  /** LSN at which the cluster was created. */
  readonly initdbLsn: Lsn;
  /** 14 to 17. */
  readonly pgVersion: number;
}

/** Decoded timeline metadata. */
export interface TimelineMetadata extends TimelineMetadataFields {
  /** 3 or 4; the fields are always those of version 4. */
  readonly storedFormatVersion: number;
  /** As stored, unsigned. */
  readonly checksum: number;
}

/**
 * Encodes timeline metadata in version 4.
 *
 * @returns a new array of 512 bytes
 * @throws StorageError `out-of-range` or `invalid-input` for fields that the format cannot represent
 */
export function encodeTimelineMetadata(fields: TimelineMetadataFields): Uint8Array {
  checkObject(WHAT, fields);
  checkFields(fields);
  const encoder = new BincodeEncoder(TIMELINE_METADATA_SIZE - HEADER_SIZE);
  const body = encoder
    .u64(fields.diskConsistentLsn)
    .optional(fields.prevRecordLsn, (lsn) => encoder.u64(lsn))
    .optional(fields.ancestorTimeline, (id) =>
      encoder.array(parseIdentifier(id, 'ancestor timeline')),
    )
    .u64(fields.ancestorLsn)
    .u64(fields.latestGcCutoffLsn)
    .u64(fields.initdbLsn)
    .u32(fields.pgVersion)
    .finish();
  const bytes = new Uint8Array(TIMELINE_METADATA_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(CHECKSUM_OFFSET, crc32cOf(body));
  view.setUint16(SIZE_OFFSET, HEADER_SIZE + body.length);
  view.setUint16(VERSION_OFFSET, TIMELINE_METADATA_FORMAT_VERSION);
  bytes.set(body, HEADER_SIZE);
  return bytes;
}

/**
 * Decodes version 4, or version 3, which is upgraded.
 *
 * @throws StorageError, always with an offset: `truncated` (fewer than 512 bytes), `unsupported-version`,
 * `corrupt`.
 */
export function decodeTimelineMetadata(bytes: Uint8Array): TimelineMetadata {
  checkBytes(bytes, WHAT);
  const { size, checksum, version } = decodeHeader(bytes);
  const isOld = version === OLD_FORMAT_VERSION;
  const body = new BincodeDecoder(bytes.subarray(HEADER_SIZE, size), {
    start: HEADER_SIZE,
    length: size,
    ifShort: 'corrupt',
  });
  const metadata: TimelineMetadata = {
    storedFormatVersion: version,
    checksum,
    diskConsistentLsn: isOld ? body.u64('disk_consistent_lsn') : decodeAlignedLsn(body),
    prevRecordLsn: body.optional('prev_record_lsn', (what) => body.u64(what)),
    ancestorTimeline: body.optional('ancestor_timeline', (what) =>
      formatIdentifier(body.array(what, IDENTIFIER_SIZE)),
    ),
    ancestorLsn: body.u64('ancestor_lsn'),
    latestGcCutoffLsn: body.u64('latest_gc_cutoff_lsn'),
    initdbLsn: body.u64('initdb_lsn'),
    pgVersion: isOld ? PG_VERSION_OF_OLD_FORMAT : decodePgVersion(body),
  };
  body.expectEnd();
  checkPadding(bytes, size);
  return metadata;
}

/**
 * Reads and decodes timeline metadata.
 * @throws StorageError as `decodeTimelineMetadata`, and `not-found`, `io`, `too-large`
 */
export async function readTimelineMetadata(
  path: string,
  options: ReadSmallFileOptions = {},
): Promise<TimelineMetadata> {
  checkObject('options', options);
  const { openFiles } = options;
  const limits = { openFiles, maximumLength: MAXIMUM_FILE_LENGTH };
  return readSmallFile(path, limits, decodeTimelineMetadata);
}

/**
 * Replaces the file with timeline metadata in version 4; the file need not exist.
 *
 * Durability: a crash leaves the old or the new metadata; once it resolves, the new.
 * @throws StorageError as `encodeTimelineMetadata` and `overwriteFile`
 */
export async function writeTimelineMetadata(
  path: string,
  fields: TimelineMetadataFields,
  options: OverwriteOptions = {},
): Promise<void> {
  await overwriteFile(path, encodeTimelineMetadata(fields), options);
}

/** Checks what does not depend on the version. */
function decodeHeader(bytes: Uint8Array): { size: number; checksum: number; version: number } {
  if (bytes.length < TIMELINE_METADATA_SIZE) {
    throw new StorageError('truncated', {
      what: WHAT,
      offset: bytes.length,
      expected: `${TIMELINE_METADATA_SIZE} bytes`,
      actual: `${bytes.length}`,
    });
  }
  if (bytes.length > TIMELINE_METADATA_SIZE) {
    throw corrupt(
      WHAT,
      TIMELINE_METADATA_SIZE,
      'end of the timeline metadata',
      `${bytes.length} bytes`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const size = view.getUint16(SIZE_OFFSET);
  if (size <= HEADER_SIZE || size > TIMELINE_METADATA_SIZE) {
    throw corrupt(WHAT, SIZE_OFFSET, `size from 9 to ${TIMELINE_METADATA_SIZE}`, `${size}`);
  }
  const checksum = view.getUint32(CHECKSUM_OFFSET);
  const actual = crc32cOf(bytes.subarray(HEADER_SIZE, size));
  if (checksum !== actual) {
    throw corrupt(WHAT, CHECKSUM_OFFSET, `CRC-32C ${hex(actual)}`, hex(checksum));
  }
  const version = view.getUint16(VERSION_OFFSET);
  if (version !== TIMELINE_METADATA_FORMAT_VERSION && version !== OLD_FORMAT_VERSION) {
    throw new StorageError('unsupported-version', {
      what: WHAT,
      offset: VERSION_OFFSET,
      expected: `format version ${OLD_FORMAT_VERSION} or ${TIMELINE_METADATA_FORMAT_VERSION}`,
      actual: `${version}`,
    });
  }
  return { size, checksum, version };
}

function decodeAlignedLsn(body: BincodeDecoder): Lsn {
  const what = 'disk_consistent_lsn';
  const lsn = body.u64(what);
  if (lsn % LSN_ALIGNMENT === 0n) return lsn;
  throw body.corrupt(what, 'a multiple of 8', formatPgLsn(lsn), LSN_SIZE);
}

function decodePgVersion(body: BincodeDecoder): number {
  const version = body.u32('pg_version');
  if (isPgVersion(version)) return version;
  throw body.corrupt('pg_version', PG_VERSIONS, `${version}`, PG_VERSION_SIZE);
}

function checkPadding(bytes: Uint8Array, from: number): void {
  const at = bytes.subarray(from).findIndex((byte) => byte !== 0);
  if (at >= 0) throw corrupt(WHAT, from + at, 'padding of zeros', hex(bytes[from + at] ?? 0));
}

function checkFields(fields: TimelineMetadataFields): void {
  checkLsn(fields.diskConsistentLsn, 'disk_consistent_lsn');
  if (fields.prevRecordLsn !== null) checkLsn(fields.prevRecordLsn, 'prev_record_lsn');
  checkLsn(fields.ancestorLsn, 'ancestor_lsn');
  checkLsn(fields.latestGcCutoffLsn, 'latest_gc_cutoff_lsn');
  checkLsn(fields.initdbLsn, 'initdb_lsn');
  if (fields.diskConsistentLsn % LSN_ALIGNMENT !== 0n) {
    throw new StorageError('invalid-input', {
      what: 'disk_consistent_lsn',
      expected: 'a multiple of 8',
      actual: formatPgLsn(fields.diskConsistentLsn),
    });
  }
  if (!isPgVersion(fields.pgVersion)) {
    throw new StorageError('out-of-range', {
      what: 'pg_version',
      expected: PG_VERSIONS,
      actual: valueText(fields.pgVersion),
    });
  }
}

function isPgVersion(version: number): boolean {
  if (!Number.isInteger(version)) return false;
  return version >= MINIMUM_PG_VERSION && version <= MAXIMUM_PG_VERSION;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
