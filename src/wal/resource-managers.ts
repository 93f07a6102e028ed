/**
 * Resource managers, and the names of their operations, as Postgres 14 to 17 print them.
 *
 * The record contains the number of the manager; the high four bits of its info byte are the operation. An operation
 * that may initialize its page has a second name, `+INIT`, with bit 0x80; for a transaction that bit is not part of the
 * name. Managers from 128 on are extensions (15 and later). Of these, 134 is Neon's own (16 and later).
 *
 * The table below is the only place that knows these names and numbers. Operations that only some versions have are
 * separate rows, followed by the versions. Source: Postgres src/include/access/rmgrlist.h and the `identify` functions
 * of src/backend/access/rmgrdesc.
 */
import { checkCount, checkObject } from '../check-options.ts';
import { checkMajorVersion } from './main-data/main-data.ts';

/** What the names of a record depend on. */
export interface RecordKind {
  /** Number of the resource manager, 0 to 255. */
  readonly resourceManager: number;
  /** The info byte. */
  readonly info: number;
}

/** First and last version of Postgres that has an operation. */
type Versions = readonly [first: number, last: number];

/** Code, name, versions if not all. A name with `+INIT` implies the one without. */
type Operation = readonly [code: number, name: string, versions?: Versions];

interface ResourceManager {
  readonly id: number;
  readonly name: string;
  /** Bits of the info byte that hold the operation. Default: the high four. */
  readonly mask?: number;
  readonly versions?: Versions;
  readonly operations: readonly Operation[];
}

const NEWEST = 17;
const IN_14: Versions = [14, 14];
const TO_16: Versions = [14, 16];
const FROM_15: Versions = [15, NEWEST];
const FROM_16: Versions = [16, NEWEST];
const FROM_17: Versions = [17, NEWEST];

const INIT_PAGE = 0x80;
const INIT_SUFFIX = '+INIT';
const OPERATION_BITS = 0xf0;
const FIRST_CUSTOM = 128;

const RESOURCE_MANAGERS: readonly ResourceManager[] = [
  {
    id: 0,
    name: 'XLOG',
    operations: [
      [0x00, 'CHECKPOINT_SHUTDOWN'],
      [0x10, 'CHECKPOINT_ONLINE'],
      [0x20, 'NOOP'],
      [0x30, 'NEXTOID'],
      [0x40, 'SWITCH'],
      [0x50, 'BACKUP_END'],
      [0x60, 'PARAMETER_CHANGE'],
      [0x70, 'RESTORE_POINT'],
      [0x80, 'FPW_CHANGE'],
      [0x90, 'END_OF_RECOVERY'],
      [0xa0, 'FPI_FOR_HINT'],
      [0xb0, 'FPI'],
      [0xd0, 'OVERWRITE_CONTRECORD'],
      [0xe0, 'CHECKPOINT_REDO', FROM_17],
    ],
  },
  {
    id: 1,
    name: 'Transaction',
    // Bit 0x80 says that more information follows.
    mask: 0x70,
    operations: [
      [0x00, 'COMMIT'],
      [0x10, 'PREPARE'],
      [0x20, 'ABORT'],
      [0x30, 'COMMIT_PREPARED'],
      [0x40, 'ABORT_PREPARED'],
      [0x50, 'ASSIGNMENT'],
      [0x60, 'INVALIDATION'],
    ],
  },
  {
    id: 2,
    name: 'Storage',
    operations: [
      [0x10, 'CREATE'],
      [0x20, 'TRUNCATE'],
    ],
  },
  {
    id: 3,
    name: 'CLOG',
    operations: [
      [0x00, 'ZEROPAGE'],
      [0x10, 'TRUNCATE'],
    ],
  },
  {
    id: 4,
    name: 'Database',
    operations: [
      [0x00, 'CREATE', IN_14],
      [0x10, 'DROP', IN_14],
      [0x00, 'CREATE_FILE_COPY', FROM_15],
      [0x10, 'CREATE_WAL_LOG', FROM_15],
      [0x20, 'DROP', FROM_15],
    ],
  },
  {
    id: 5,
    name: 'Tablespace',
    operations: [
      [0x00, 'CREATE'],
      [0x10, 'DROP'],
    ],
  },
  {
    id: 6,
    name: 'MultiXact',
    operations: [
      [0x00, 'ZERO_OFF_PAGE'],
      [0x10, 'ZERO_MEM_PAGE'],
      [0x20, 'CREATE_ID'],
      [0x30, 'TRUNCATE_ID'],
    ],
  },
  { id: 7, name: 'RelMap', operations: [[0x00, 'UPDATE']] },
  {
    id: 8,
    name: 'Standby',
    operations: [
      [0x00, 'LOCK'],
      [0x10, 'RUNNING_XACTS'],
      [0x20, 'INVALIDATIONS'],
    ],
  },
  {
    id: 9,
    name: 'Heap2',
    operations: [
      [0x00, 'REWRITE'],
      [0x10, 'PRUNE', TO_16],
      [0x20, 'VACUUM', TO_16],
      [0x30, 'FREEZE_PAGE', TO_16],
      [0x10, 'PRUNE_ON_ACCESS', FROM_17],
      [0x20, 'PRUNE_VACUUM_SCAN', FROM_17],
      [0x30, 'PRUNE_VACUUM_CLEANUP', FROM_17],
      [0x40, 'VISIBLE'],
      [0x50, 'MULTI_INSERT+INIT'],
      [0x60, 'LOCK_UPDATED'],
      [0x70, 'NEW_CID'],
    ],
  },
  {
    id: 10,
    name: 'Heap',
    operations: [
      [0x00, 'INSERT+INIT'],
      [0x10, 'DELETE'],
      [0x20, 'UPDATE+INIT'],
      [0x30, 'TRUNCATE'],
      [0x40, 'HOT_UPDATE+INIT'],
      [0x50, 'HEAP_CONFIRM'],
      [0x60, 'LOCK'],
      [0x70, 'INPLACE'],
    ],
  },
  {
    id: 11,
    name: 'Btree',
    operations: [
      [0x00, 'INSERT_LEAF'],
      [0x10, 'INSERT_UPPER'],
      [0x20, 'INSERT_META'],
      [0x30, 'SPLIT_L'],
      [0x40, 'SPLIT_R'],
      [0x50, 'INSERT_POST'],
      [0x60, 'DEDUP'],
      [0x70, 'DELETE'],
      [0x80, 'UNLINK_PAGE'],
      [0x90, 'UNLINK_PAGE_META'],
      [0xa0, 'NEWROOT'],
      [0xb0, 'MARK_PAGE_HALFDEAD'],
      [0xc0, 'VACUUM'],
      [0xd0, 'REUSE_PAGE'],
      [0xe0, 'META_CLEANUP'],
    ],
  },
  {
    id: 12,
    name: 'Hash',
    operations: [
      [0x00, 'INIT_META_PAGE'],
      [0x10, 'INIT_BITMAP_PAGE'],
      [0x20, 'INSERT'],
      [0x30, 'ADD_OVFL_PAGE'],
      [0x40, 'SPLIT_ALLOCATE_PAGE'],
      [0x50, 'SPLIT_PAGE'],
      [0x60, 'SPLIT_COMPLETE'],
      [0x70, 'MOVE_PAGE_CONTENTS'],
      [0x80, 'SQUEEZE_PAGE'],
      [0x90, 'DELETE'],
      [0xa0, 'SPLIT_CLEANUP'],
      [0xb0, 'UPDATE_META_PAGE'],
      [0xc0, 'VACUUM_ONE_PAGE'],
    ],
  },
  {
    id: 13,
    name: 'Gin',
    operations: [
      [0x10, 'CREATE_PTREE'],
      [0x20, 'INSERT'],
      [0x30, 'SPLIT'],
      [0x40, 'VACUUM_PAGE'],
      [0x50, 'DELETE_PAGE'],
      [0x60, 'UPDATE_META_PAGE'],
      [0x70, 'INSERT_LISTPAGE'],
      [0x80, 'DELETE_LISTPAGE'],
      [0x90, 'VACUUM_DATA_LEAF_PAGE'],
    ],
  },
  {
    id: 14,
    name: 'Gist',
    operations: [
      [0x00, 'PAGE_UPDATE'],
      [0x10, 'DELETE'],
      [0x20, 'PAGE_REUSE'],
      [0x30, 'PAGE_SPLIT'],
      [0x60, 'PAGE_DELETE'],
      [0x70, 'ASSIGN_LSN'],
    ],
  },
  { id: 15, name: 'Sequence', operations: [[0x00, 'LOG']] },
  {
    id: 16,
    name: 'SPGist',
    operations: [
      [0x10, 'ADD_LEAF'],
      [0x20, 'MOVE_LEAFS'],
      [0x30, 'ADD_NODE'],
      [0x40, 'SPLIT_TUPLE'],
      [0x50, 'PICKSPLIT'],
      [0x60, 'VACUUM_LEAF'],
      [0x70, 'VACUUM_ROOT'],
      [0x80, 'VACUUM_REDIRECT'],
    ],
  },
  {
    id: 17,
    name: 'BRIN',
    operations: [
      [0x00, 'CREATE_INDEX'],
      [0x10, 'INSERT+INIT'],
      [0x20, 'UPDATE+INIT'],
      [0x30, 'SAMEPAGE_UPDATE'],
      [0x40, 'REVMAP_EXTEND'],
      [0x50, 'DESUMMARIZE'],
    ],
  },
  {
    id: 18,
    name: 'CommitTs',
    operations: [
      [0x00, 'ZEROPAGE'],
      [0x10, 'TRUNCATE'],
    ],
  },
  {
    id: 19,
    name: 'ReplicationOrigin',
    operations: [
      [0x00, 'SET'],
      [0x10, 'DROP'],
    ],
  },
  // Its info byte has no meaning.
  { id: 20, name: 'Generic', mask: 0x00, operations: [[0x00, 'Generic']] },
  { id: 21, name: 'LogicalMessage', operations: [[0x00, 'MESSAGE']] },
  {
    id: 134,
    name: 'neon',
    versions: FROM_16,
    operations: [
      [0x00, 'INSERT+INIT'],
      [0x10, 'DELETE'],
      [0x20, 'UPDATE+INIT'],
      [0x30, 'HOT_UPDATE+INIT'],
      [0x40, 'LOCK'],
      [0x50, 'MULTI_INSERT+INIT'],
    ],
  },
];

/** Numbers of the resource managers that other files need. */
export const HEAP2 = 9;
export const HEAP = 10;
export const NEON = 134;

/**
 * Name of a resource manager, such as `Heap`: `custom128` for an extension, `UNKNOWN` for reserved numbers.
 *
 * @param id 0 to 255.
 * @param majorVersion 14 to 17.
 * @throws `invalid-input`.
 */
export function resourceManagerName(id: number, majorVersion: number): string {
  checkMajorVersion(majorVersion);
  checkCount('number of a resource manager', id, { to: 0xff });
  return namesOf(majorVersion).managers[id] as string;
}

/**
 * Name of what a record does, such as `INSERT+INIT`. An operation that the version does not have is `UNKNOWN (70)`.
 *
 * @param majorVersion 14 to 17.
 * @throws `invalid-input`.
 */
export function recordTypeOf(record: RecordKind, majorVersion: number): string {
  checkMajorVersion(majorVersion);
  checkObject('WAL record', record);
  const { resourceManager, info } = record;
  checkCount('number of a resource manager', resourceManager, { to: 0xff });
  checkCount('info byte', info, { to: 0xff });
  return (
    namesOf(majorVersion).types[kindIndexOf(resourceManager, info)] ??
    `UNKNOWN (${(info & OPERATION_BITS).toString(16)})`
  );
}

/** All resource managers that a version has names for: numbers and names, ascending. */
export function resourceManagers(
  majorVersion: number,
): readonly { readonly id: number; readonly name: string }[] {
  checkMajorVersion(majorVersion);
  return RESOURCE_MANAGERS.filter(({ versions }) => has(versions, majorVersion)).map(
    ({ id, name }) => ({ id, name }),
  );
}

/** The kinds of records that a version has, each with the name of its type; for tables that are kept by kind. */
export function recordKinds(
  majorVersion: number,
): readonly (RecordKind & { readonly manager: string; readonly type: string })[] {
  checkMajorVersion(majorVersion);
  return RESOURCE_MANAGERS.filter(({ versions }) => has(versions, majorVersion)).flatMap(
    ({ id, name, mask = OPERATION_BITS, operations }) =>
      operations
        .filter(([, , versions]) => has(versions, majorVersion))
        .flatMap(([code, type]) => infosOf(code, type, mask))
        .map(({ info, type }) => ({ resourceManager: id, manager: name, info, type })),
  );
}

/** Where a table by kind has a record: it has 16 places for each of 256 resource managers. */
export function kindIndexOf(resourceManager: number, info: number): number {
  return (resourceManager << 4) | (info >>> 4);
}

/** Length of a table by kind. */
export const KIND_COUNT = 256 * 16;

interface Names {
  readonly managers: readonly string[];
  readonly types: readonly (string | undefined)[];
}

const namesByVersion: (Names | undefined)[] = [];

function namesOf(majorVersion: number): Names {
  namesByVersion[majorVersion] ??= makeNames(majorVersion);
  return namesByVersion[majorVersion] as Names;
}

function makeNames(majorVersion: number): Names {
  const managers = Array.from({ length: 256 }, (_, id) =>
    id >= FIRST_CUSTOM && majorVersion >= 15 ? `custom${id}` : 'UNKNOWN',
  );
  for (const { id, name } of resourceManagers(majorVersion)) managers[id] = name;
  const types: (string | undefined)[] = new Array(KIND_COUNT).fill(undefined);
  for (const { resourceManager, info, type } of recordKinds(majorVersion)) {
    types[kindIndexOf(resourceManager, info)] = type;
  }
  return { managers, types };
}

function has(versions: Versions | undefined, majorVersion: number): boolean {
  return versions === undefined || (majorVersion >= versions[0] && majorVersion <= versions[1]);
}

/** The info bytes that have an operation, each with its name. */
function infosOf(code: number, name: string, mask: number): { info: number; type: string }[] {
  const infos: { info: number; type: string }[] = [];
  for (let info = 0; info <= OPERATION_BITS; info += 0x10) {
    if ((info & mask) === code) infos.push({ info, type: name });
  }
  if (!name.endsWith(INIT_SUFFIX)) return infos;
  const plain = { info: code, type: name.slice(0, -INIT_SUFFIX.length) };
  return [plain, { info: code | INIT_PAGE, type: name }];
}
