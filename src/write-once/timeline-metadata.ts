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
import { checkBytes } from '../check-bytes.ts';
import { checkObject } from '../check-options.ts';
import { crc32cOf } from '../checksum.ts';
import { StorageError } from '../errors.ts';
import { formatIdentifier, IDENTIFIER_SIZE, parseIdentifier } from '../layers/identifier.ts';
import { checkLsn, formatPgLsn, type Lsn } from '../layers/lsn.ts';
import { type OverwriteOptions, overwriteFile } from './overwrite.ts';
import { type ReadSmallFileOptions, readSmallFile } from './small-file.ts';

/** Size in bytes. */
export const TIMELINE_METADATA_SIZE = 512;
/** The version that is written. */
export const TIMELINE_METADATA_FORMAT_VERSION = 4;
export const MINIMUM_PG_VERSION = 14;
export const MAXIMUM_PG_VERSION = 17;

const PG_VERSIONS = `pg_version from ${MINIMUM_PG_VERSION} to ${MAXIMUM_PG_VERSION}`;

const OLD_FORMAT_VERSION = 3;
/** Version 3 is older than the choice of a Postgres version. */
const PG_VERSION_OF_OLD_FORMAT = 14;

const HEADER_SIZE = 8;
const CHECKSUM_OFFSET = 0;
const SIZE_OFFSET = 4;
const VERSION_OFFSET = 6;
const LSN_SIZE = 8;
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
  checkObject('timeline metadata', fields);
  checkFields(fields);
  const body = Buffer.concat([
    encodeLsn(fields.diskConsistentLsn),
    encodeOption(fields.prevRecordLsn, encodeLsn),
    encodeOption(fields.ancestorTimeline, (id) => parseIdentifier(id, 'ancestor timeline')),
    encodeLsn(fields.ancestorLsn),
    encodeLsn(fields.latestGcCutoffLsn),
    encodeLsn(fields.initdbLsn),
    encodeU32(fields.pgVersion),
  ]);
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
  checkBytes(bytes, 'timeline metadata');
  const { body, checksum, version } = decodeHeader(bytes);
  const isOld = version === OLD_FORMAT_VERSION;
  const metadata: TimelineMetadata = {
    storedFormatVersion: version,
    checksum,
    diskConsistentLsn: isOld ? body.lsn() : body.alignedLsn(),
    prevRecordLsn: body.isPresent() ? body.lsn() : null,
    ancestorTimeline: body.isPresent() ? body.identifier() : null,
    ancestorLsn: body.lsn(),
    latestGcCutoffLsn: body.lsn(),
    initdbLsn: body.lsn(),
    pgVersion: isOld ? PG_VERSION_OF_OLD_FORMAT : body.pgVersion(),
  };
  body.finish();
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
function decodeHeader(bytes: Uint8Array): { body: Body; checksum: number; version: number } {
  if (bytes.length < TIMELINE_METADATA_SIZE) {
    throw new StorageError('truncated', {
      what: 'timeline metadata',
      offset: bytes.length,
      expected: `${TIMELINE_METADATA_SIZE} bytes`,
      actual: `${bytes.length}`,
    });
  }
  if (bytes.length > TIMELINE_METADATA_SIZE) {
    throw corrupt(TIMELINE_METADATA_SIZE, 'end of the timeline metadata', `${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const size = view.getUint16(SIZE_OFFSET);
  if (size <= HEADER_SIZE || size > TIMELINE_METADATA_SIZE) {
    throw corrupt(SIZE_OFFSET, `size from 9 to ${TIMELINE_METADATA_SIZE}`, `${size}`);
  }
  const checksum = view.getUint32(CHECKSUM_OFFSET);
  const actual = crc32cOf(bytes.subarray(HEADER_SIZE, size));
  if (checksum !== actual) {
    throw corrupt(CHECKSUM_OFFSET, `CRC-32C ${hex(actual)}`, hex(checksum));
  }
  const version = view.getUint16(VERSION_OFFSET);
  if (version !== TIMELINE_METADATA_FORMAT_VERSION && version !== OLD_FORMAT_VERSION) {
    throw new StorageError('unsupported-version', {
      what: 'timeline metadata',
      offset: VERSION_OFFSET,
      expected: `format version ${OLD_FORMAT_VERSION} or ${TIMELINE_METADATA_FORMAT_VERSION}`,
      actual: `${version}`,
    });
  }
  return { body: new Body(view, size), checksum, version };
}

/** Reads the fields one after the other. */
class Body {
  readonly #view: DataView;
  readonly #end: number;
  #offset = HEADER_SIZE;

  constructor(view: DataView, end: number) {
    this.#view = view;
    this.#end = end;
  }

  lsn(): Lsn {
    return this.#view.getBigUint64(this.#advance(LSN_SIZE, 'LSN'));
  }

  alignedLsn(): Lsn {
    const offset = this.#offset;
    const lsn = this.lsn();
    if (lsn % LSN_ALIGNMENT === 0n) return lsn;
    throw corrupt(offset, 'disk_consistent_lsn as a multiple of 8', formatPgLsn(lsn));
  }

  /** The tag of an Option. */
  isPresent(): boolean {
    const offset = this.#advance(1, 'tag of an optional field');
    const tag = this.#view.getUint8(offset);
    if (tag === 0 || tag === 1) return tag === 1;
    throw corrupt(offset, 'tag 0 or 1', `${tag}`);
  }

  identifier(): string {
    const offset = this.#advance(IDENTIFIER_SIZE, 'timeline id');
    return formatIdentifier(new Uint8Array(this.#view.buffer, this.#view.byteOffset), offset);
  }

  pgVersion(): number {
    const offset = this.#advance(4, 'pg_version');
    const version = this.#view.getUint32(offset);
    if (isPgVersion(version)) return version;
    throw corrupt(offset, PG_VERSIONS, `${version}`);
  }

  /** Nothing is left of the body, and only zeros follow. */
  finish(): void {
    if (this.#offset !== this.#end) {
      throw corrupt(this.#offset, `end of the body at ${this.#offset}`, `size ${this.#end}`);
    }
    for (let offset = this.#end; offset < this.#view.byteLength; offset += 1) {
      const byte = this.#view.getUint8(offset);
      if (byte !== 0) throw corrupt(offset, 'padding of zeros', hex(byte));
    }
  }

  #advance(length: number, what: string): number {
    const offset = this.#offset;
    if (offset + length > this.#end) throw corrupt(offset, what, `end of the body at ${this.#end}`);
    this.#offset += length;
    return offset;
  }
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
      actual: String(fields.pgVersion),
    });
  }
}

function isPgVersion(version: number): boolean {
  const isInRange = version >= MINIMUM_PG_VERSION && version <= MAXIMUM_PG_VERSION;
  return Number.isInteger(version) && isInRange;
}

function encodeLsn(lsn: Lsn): Uint8Array {
  const bytes = Buffer.alloc(LSN_SIZE);
  bytes.writeBigUInt64BE(lsn);
  return bytes;
}

function encodeU32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function encodeOption<T>(value: T | null, encode: (value: T) => Uint8Array): Uint8Array {
  return value === null ? Uint8Array.of(0) : Buffer.concat([Uint8Array.of(1), encode(value)]);
}

function corrupt(offset: number, expected: string, actual: string): StorageError {
  return new StorageError('corrupt', { what: 'timeline metadata', offset, expected, actual });
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
