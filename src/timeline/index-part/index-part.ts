/** An index_part.json: parses, changes and formats it without losing unknown fields. */
import {
  checkArray,
  checkBigint,
  checkMethod,
  checkObject,
  checkOptions,
  checkText,
  itemsOf,
  type KnownOptions,
} from '../../check-options.ts';
import { StorageError } from '../../errors.ts';
import { checkLsn, type Lsn } from '../../layers/lsn.ts';
import { valueText } from '../../printable.ts';
import {
  MAXIMUM_PG_VERSION,
  MINIMUM_PG_VERSION,
  type TimelineMetadataFields,
} from '../../write-once/timeline-metadata.ts';
import { formatExactJson, isJsonObject, type JsonObject, parseExactJson } from '../exact-json.ts';
import { formatGenerationSuffix } from '../generation.ts';
import { JsonField } from '../json-fields.ts';
import { normalizeJsonTime } from '../json-time.ts';
import { MAXIMUM_LAYERS } from '../layer-map/layer-table.ts';
import { formatShardIndex } from '../tenant-shard.ts';
import {
  canonicalLayerName,
  checkIndexFields,
  decodeIndexFields,
  encodeIndexFields,
  INDEX_VERSION,
  type IndexPartFields,
  storedDiskConsistentLsn,
} from './index-fields.ts';
import type { IndexLayer } from './layer-entry.ts';

/** Bytes; an entry takes about 150. */
export const MAXIMUM_INDEX_SIZE = 256 * 1024 * 1024;

/** Options of `IndexPart.parse`. */
export interface ParseIndexPartOptions {
  /** The file, for errors. */
  readonly path?: string | undefined;
}

/** Changes to the fields. A field that is undefined is removed; a missing one stays. */
export type IndexPartChanges = Partial<
  Omit<IndexPartFields, 'version' | 'importPgdata' | 'metadata'>
> & {
  /** New values for fields of the metadata. */
  readonly metadata?: Partial<TimelineMetadataFields>;
};

/** What a new index needs. */
export interface NewIndexPart {
  /** By layer name. */
  readonly layers: ReadonlyMap<string, IndexLayer>;
  /** All fields of the metadata. */
  readonly metadata: TimelineMetadataFields;
}

/**
 * The index of a timeline. Immutable.
 *
 * @example
 * const index = IndexPart.parse(await readFile(path), { path });
 * const map = LayerMap.fromNames(index.fields.layers.keys());
 */
export class IndexPart {
  /** The fields of the index; the same for all versions. */
  readonly fields: IndexPartFields;
  /** The copy of `diskConsistentLsn` outside the metadata, which is ignored. */
  readonly storedDiskConsistentLsn: Lsn;
  readonly #json: JsonObject;

  private constructor(json: JsonObject, fields: IndexPartFields, stored: Lsn) {
    this.#json = json;
    this.fields = fields;
    this.storedDiskConsistentLsn = stored;
  }

  /**
   * Parses an index of any version.
   *
   * @throws `corrupt` for text that a pageserver could not parse, with the place of the field, or the offset
   * of invalid JSON; of metadata in 512 bytes as `decodeTimelineMetadata`; `too-large` above 256 MiB.
   */
  static parse(content: Uint8Array | string, options: ParseIndexPartOptions = {}): IndexPart {
    checkOptions(options, { path: true });
    const { path } = options;
    if (path !== undefined) checkText('path', path);
    const source = { what: 'index_part.json', path, maximumSize: MAXIMUM_INDEX_SIZE };
    const json = parseExactJson(content, source);
    const root = new JsonField(json, '', path);
    if (!isJsonObject(json)) {
      throw new StorageError('corrupt', { what: source.what, path, expected: 'a JSON object' });
    }
    return new IndexPart(
      json,
      decodeIndexFields(root, MAXIMUM_LAYERS),
      storedDiskConsistentLsn(root),
    );
  }

  /**
   * Makes an index of the version that is written.
   *
   * @throws `invalid-input`, `ambiguous-name` or `out-of-range` for values that it cannot hold.
   */
  static create(parts: NewIndexPart): IndexPart {
    checkObject('index', parts);
    const fields: IndexPartFields = {
      version: INDEX_VERSION,
      deletedAt: undefined,
      archivedAt: undefined,
      importPgdata: undefined,
      layers: canonicalLayers(parts.layers),
      metadata: checkedMetadata(parts.metadata),
      lineage: {
        reparentingHistoryTruncated: false,
        reparentingHistory: [],
        originalAncestor: undefined,
      },
      gcBlocking: undefined,
      lastAuxFilePolicy: undefined,
      relSizeMigration: 'legacy',
      l2Lsn: undefined,
      gcCompactionLsn: undefined,
      markedInvisibleAt: undefined,
      relSizeMigratedAt: undefined,
    };
    return new IndexPart({}, fields, fields.metadata.diskConsistentLsn);
  }

  /**
   * A copy with some fields changed. Its `storedDiskConsistentLsn` is that of the metadata.
   *
   * @throws `invalid-input`, `ambiguous-name` or `out-of-range` for values that an index cannot hold.
   */
  with(changes: IndexPartChanges): IndexPart {
    checkOptions(changes, CHANGES);
    const metadata = checkedMetadata({ ...this.fields.metadata, ...changes.metadata });
    const changed = { ...this.fields, ...changes, metadata };
    const fields: IndexPartFields = {
      ...changed,
      layers: canonicalLayers(changed.layers),
      deletedAt: checkedTime('deletedAt', changed.deletedAt),
      archivedAt: checkedTime('archivedAt', changed.archivedAt),
      markedInvisibleAt: checkedTime('markedInvisibleAt', changed.markedInvisibleAt),
    };
    for (const name of ['l2Lsn', 'gcCompactionLsn', 'relSizeMigratedAt'] as const) {
      if (fields[name] !== undefined) checkLsn(fields[name], name);
    }
    checkIndexFields(fields);
    return new IndexPart(this.#json, fields, metadata.diskConsistentLsn);
  }

  /**
   * The text of the index in the current version, as a pageserver would write it: without white space, with layers
   * sorted by name. Unknown fields stay in their places; fields that only versions before 3 have are dropped.
   */
  format(): string {
    return formatExactJson(this.toJson());
  }

  /** The object that `format` writes. Its integers beyond 2^53 are bigints. */
  toJson(): JsonObject {
    return encodeIndexFields(this.fields, this.#json);
  }
}

/** Throws `invalid-input` unless the value is an index, of any copy of this package. */
export function checkIndexPartArgument(what: string, value: unknown): void {
  checkObject(what, value);
  const isIndex = 'fields' in value && 'toJson' in value && 'format' in value;
  if (!isIndex) {
    throw new StorageError('invalid-input', { what, expected: 'an IndexPart', actual: 'object' });
  }
}

const CHANGES: KnownOptions<IndexPartChanges> = {
  deletedAt: true,
  archivedAt: true,
  layers: true,
  metadata: true,
  lineage: true,
  gcBlocking: true,
  lastAuxFilePolicy: true,
  relSizeMigration: true,
  l2Lsn: true,
  gcCompactionLsn: true,
  markedInvisibleAt: true,
  relSizeMigratedAt: true,
};

function canonicalLayers(layers: ReadonlyMap<string, IndexLayer>): ReadonlyMap<string, IndexLayer> {
  checkMethod('layers', layers, 'get');
  const canonical = new Map<string, IndexLayer>();
  for (const entry of itemsOf('layers', layers)) {
    checkArray('entry of the layers', entry);
    const [name, layer] = entry;
    checkObject('layer of an index', layer);
    checkBigint('file size', layer.fileSize);
    formatGenerationSuffix(layer.generation);
    formatShardIndex(layer.shard);
    const known = canonicalLayerName(name);
    if (canonical.has(known)) {
      throw new StorageError('invalid-input', {
        what: 'layers of an index',
        expected: 'each layer once',
        actual: name,
      });
    }
    if (layer.fileSize < 0n || layer.fileSize >= 1n << 64n) {
      throw new StorageError('out-of-range', {
        what: `file size of ${known}`,
        expected: 'u64',
        actual: valueText(layer.fileSize),
      });
    }
    canonical.set(known, layer);
  }
  return canonical;
}

function checkedMetadata(metadata: TimelineMetadataFields): TimelineMetadataFields {
  checkObject('metadata', metadata);
  checkLsn(metadata.diskConsistentLsn, 'disk_consistent_lsn');
  if (metadata.prevRecordLsn !== null) checkLsn(metadata.prevRecordLsn, 'prev_record_lsn');
  checkLsn(metadata.ancestorLsn, 'ancestor_lsn');
  checkLsn(metadata.latestGcCutoffLsn, 'latest_gc_cutoff_lsn');
  checkLsn(metadata.initdbLsn, 'initdb_lsn');
  const { pgVersion, ancestorTimeline } = metadata;
  if (ancestorTimeline !== null) checkText('ancestor timeline', ancestorTimeline);
  if (ancestorTimeline !== null && !/^[0-9a-f]{32}$/.test(ancestorTimeline)) {
    throw new StorageError('invalid-input', {
      what: 'ancestor timeline',
      expected: '32 lower-case hex digits',
      actual: JSON.stringify(ancestorTimeline),
    });
  }
  if (
    Number.isInteger(pgVersion) &&
    pgVersion >= MINIMUM_PG_VERSION &&
    pgVersion <= MAXIMUM_PG_VERSION
  ) {
    return metadata;
  }
  throw new StorageError('out-of-range', {
    what: 'pg_version',
    expected: `${MINIMUM_PG_VERSION} to ${MAXIMUM_PG_VERSION}`,
    actual: valueText(pgVersion),
  });
}

function checkedTime(name: string, time: string | undefined): string | undefined {
  if (time === undefined) return undefined;
  checkText(name, time);
  const normalized = normalizeJsonTime(time);
  if (normalized !== undefined) return normalized;
  throw new StorageError('invalid-input', {
    what: name,
    expected: 'a time as 2026-03-25T10:00:00.123',
    actual: JSON.stringify(time),
  });
}
