/**
 * Describes a WAL record in words, exactly as pg_walinspect does, or as pg_waldump with its format of times.
 *
 * The other files of this folder have a table entry for each kind: a layout of the main data, and a template of its
 * fields. The entries are combined once for each version, into one table by resource manager and info byte.
 */
import { assert } from '../../assert.ts';
import {
  checkArray,
  checkBigint,
  checkBytes,
  checkCount,
  checkObject,
  checkOneOf,
  checkOptions,
} from '../../check-options.ts';
import { corrupt, isStorageError, StorageError } from '../../errors.ts';
import { chosenHeapDialect, HEAP_DIALECTS, type HeapDialect } from '../heap-dialect.ts';
import { checkMajorVersion } from '../main-data/main-data.ts';
import type { WalRecord } from '../record-format.ts';
import {
  KIND_COUNT,
  kindIndexOf,
  recordKinds,
  recordTypeOf,
  resourceManagerName,
} from '../resource-managers.ts';
import { BTREE_TEXTS } from './btree.ts';
import {
  CLOG_TEXTS,
  COMMIT_TIME_TEXTS,
  DATABASE_TEXTS,
  GENERIC_TEXTS,
  MESSAGE_TEXTS,
  MULTIXACT_TEXTS,
  ORIGIN_TEXTS,
  RELATION_MAP_TEXTS,
  SEQUENCE_TEXTS,
  STORAGE_TEXTS,
  TABLESPACE_TEXTS,
  XLOG_TEXTS,
} from './cluster.ts';
import { GIN_TEXTS } from './gin.ts';
import { HEAP_TEXTS, HEAP2_TEXTS, NEON_TEXTS } from './heap.ts';
import { BRIN_TEXTS, GIST_TEXTS, HASH_TEXTS, SPGIST_TEXTS } from './indexes.ts';
import { type KindText, type ManagerTexts, ofVersion, type Subject } from './kind-text.ts';
import { fillTemplate, parseTemplate, type Template } from './template.ts';
import { TIME_STYLES, type TimeStyle } from './time.ts';
import { STANDBY_TEXTS, TRANSACTION_TEXTS } from './transaction.ts';

/** How a record is described. */
export interface DescribeOptions {
  /** Version of the Postgres that wrote it, 14 to 17. */
  readonly majorVersion: number;
  /**
   * Dialect of the heap records of 14 and 15. Default: detected for each record; one that can be read in both dialects
   * is refused.
   */
  readonly dialect?: HeapDialect | undefined;
  /** Form of times, in UTC. Default: `walinspect`. */
  readonly times?: TimeStyle | undefined;
}

/** A record in words. */
export interface RecordDescription {
  /** Name of the resource manager, such as `Heap`. */
  readonly resourceManager: string;
  /** What it does, such as `INSERT+INIT`. */
  readonly recordType: string;
  /** The rest as text; may be empty. */
  readonly description: string;
}

/**
 * Describes a record.
 *
 * @throws `corrupt` with the kind of the record if its data do not fit it; `invalid-input` for a heap record of 14 or
 *   15 that can be read in two dialects, unless `dialect` is given; `too-large` for a list of more than 32 Mi items.
 *
 * @example
 * const record = decodeWalRecord(bytes, 17);
 * const { resourceManager, recordType, description } = describeWalRecord(record, { majorVersion: 17 });
 */
export function describeWalRecord(record: WalRecord, options: DescribeOptions): RecordDescription {
  checkRecord(record);
  checkDescribeOptions(options);
  const { majorVersion } = options;
  return {
    resourceManager: resourceManagerName(record.resourceManager, majorVersion),
    recordType: recordTypeOf(record, majorVersion),
    description: descriptionOf(record, options),
  };
}

/** Throws `invalid-input` for a record that lacks a part. */
export function checkRecord(record: WalRecord): void {
  checkObject('WAL record', record);
  checkCount('resourceManager', record.resourceManager, { to: 0xff });
  checkCount('info', record.info, { to: 0xff });
  checkCount('xid', record.xid, { to: 0xffff_ffff });
  checkBigint('prevLsn', record.prevLsn);
  checkBytes(record.mainData, 'mainData');
  checkArray('blocks', record.blocks);
  for (const block of record.blocks) checkObject('block reference', block);
}

const OPTION_NAMES = { majorVersion: true, dialect: true, times: true } as const;

/** Throws `invalid-input`. */
export function checkDescribeOptions(options: DescribeOptions): void {
  checkOptions(options, OPTION_NAMES);
  checkMajorVersion(options.majorVersion);
  if (options.dialect !== undefined) checkOneOf('dialect', options.dialect, HEAP_DIALECTS);
  if (options.times !== undefined) checkOneOf('times', options.times, TIME_STYLES);
}

/** Only the text. Requires: options that were checked. Throws as `describeWalRecord`. */
export function descriptionOf(record: WalRecord, options: DescribeOptions): string {
  const { resourceManager, info, mainData: data } = record;
  const { majorVersion, dialect, times: style = 'walinspect' } = options;
  const kind = kindsOf(majorVersion)[kindIndexOf(resourceManager, info)];
  if (kind === undefined) return isExtension(resourceManager) ? `rmid: ${resourceManager}` : '';
  try {
    const template = isNeonHeap(kind, record, { majorVersion, dialect })
      ? kind.neonTemplate
      : kind.template;
    if (template !== undefined && data.length < template.size) {
      throw corrupt('main data', undefined, `${template.size} bytes`, `${data.length}`);
    }
    const text = template === undefined ? '' : fillTemplate(template, data, style);
    return kind.more === undefined ? text : text + kind.more({ record, data, majorVersion, style });
  } catch (error) {
    throw inKind(error, record, majorVersion);
  }
}

/** A kind of record, ready for a version. */
interface Kind {
  readonly template: Template | undefined;
  /** For records of Neon's dialect, where they have another layout. */
  readonly neonTemplate: Template | undefined;
  readonly more: ((subject: Subject) => string) | undefined;
}

const FIRST_EXTENSION = 128;

function isExtension(resourceManager: number): boolean {
  return resourceManager >= FIRST_EXTENSION;
}

function isNeonHeap(
  { neonTemplate }: Kind,
  record: WalRecord,
  { majorVersion, dialect }: Pick<DescribeOptions, 'majorVersion' | 'dialect'>,
): boolean {
  if (neonTemplate === undefined) return false;
  return chosenHeapDialect(record, majorVersion, dialect) === 'neon';
}

/** Names the kind of the record; offsets count from the start of its data, so they stay in the text. */
function inKind(error: unknown, record: WalRecord, majorVersion: number): unknown {
  if (!isStorageError(error)) return error;
  const manager = resourceManagerName(record.resourceManager, majorVersion);
  const kind = `${manager}/${recordTypeOf(record, majorVersion)}`;
  return new StorageError(error.code, { what: `${kind}: ${error.message}`, cause: error });
}

const TEXTS: Readonly<Record<string, ManagerTexts>> = {
  XLOG: XLOG_TEXTS,
  Transaction: TRANSACTION_TEXTS,
  Storage: STORAGE_TEXTS,
  CLOG: CLOG_TEXTS,
  Database: DATABASE_TEXTS,
  Tablespace: TABLESPACE_TEXTS,
  MultiXact: MULTIXACT_TEXTS,
  RelMap: RELATION_MAP_TEXTS,
  Standby: STANDBY_TEXTS,
  Heap2: HEAP2_TEXTS,
  Heap: HEAP_TEXTS,
  Btree: BTREE_TEXTS,
  Hash: HASH_TEXTS,
  Gin: GIN_TEXTS,
  Gist: GIST_TEXTS,
  Sequence: SEQUENCE_TEXTS,
  SPGist: SPGIST_TEXTS,
  BRIN: BRIN_TEXTS,
  CommitTs: COMMIT_TIME_TEXTS,
  ReplicationOrigin: ORIGIN_TEXTS,
  Generic: GENERIC_TEXTS,
  LogicalMessage: MESSAGE_TEXTS,
  neon: NEON_TEXTS,
};

type KindTable = readonly (Kind | undefined)[];

const kindsByVersion: (KindTable | undefined)[] = [];

function kindsOf(majorVersion: number): KindTable {
  kindsByVersion[majorVersion] ??= makeKinds(majorVersion);
  return kindsByVersion[majorVersion] as KindTable;
}

function makeKinds(majorVersion: number): KindTable {
  const kinds: (Kind | undefined)[] = new Array(KIND_COUNT).fill(undefined);
  for (const { resourceManager, info, manager, type } of recordKinds(majorVersion)) {
    const text = TEXTS[manager]?.[type.replace('+INIT', '')];
    assert(text !== undefined, `${manager}/${type} has a description`);
    kinds[kindIndexOf(resourceManager, info)] = makeKind(text, majorVersion);
  }
  return kinds;
}

const LAST_WITH_DIALECTS = 15;

function makeKind(kindText: KindText, majorVersion: number): Kind {
  const { neonLayout } = kindText;
  const text = ofVersion(kindText.text, majorVersion) ?? '';
  const layout = ofVersion(kindText.layout, majorVersion);
  const hasNeonLayout = neonLayout !== undefined && majorVersion <= LAST_WITH_DIALECTS;
  return {
    template: layout === undefined ? undefined : parseTemplate(text, layout),
    neonTemplate: hasNeonLayout ? parseTemplate(text, neonLayout) : undefined,
    more: ofVersion(kindText.more, majorVersion),
  };
}
