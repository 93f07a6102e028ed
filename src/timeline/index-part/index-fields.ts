/**
 * index_part.json: which layers a timeline has, and where they and the timeline came from.
 *
 *   version                since 1   informative; 15 is written
 *   deleted_at                   2   time: the timeline is to be deleted
 *   archived_at                  8   time
 *   import_pgdata               10   {"V1":{"InProgress":{…}}} or {"V1":{"Done":{…}}}
 *   layer_metadata               1   layer name -> entry (layer-entry.ts)
 *   disk_consistent_lsn          1   copy of the one in the metadata, which takes precedence
 *   metadata_bytes               1   since 7 an object, before that an array of the 512 bytes of
 *                                    write-once/timeline-metadata.ts; `metadata` is read as well
 *   lineage                      5   always written
 *   gc_blocking                  9   {started_at, reasons}
 *   last_aux_file_policy         6   v1, v2 or cross-validation, of any case
 *   rel_size_migration          11   legacy, migrating or migrated; missing: legacy
 *   l2_lsn                      12   LSN
 *   gc_compaction               13   {last_completed_lsn}
 *   marked_invisible_at         14   time
 *   rel_size_migrated_at        15   LSN
 *
 * LSNs are text, HI/LO. An optional field may be missing or null, and is not written if there is no
 * value. Any other field is ignored, and stays in its place when the index is written again. Versions 1
 * and 2 have the names of the layers in `timeline_layers` as well, which are ignored since 3.
 *
 * Source: Neon pageserver/src/tenant/remote_timeline_client/index.rs.
 */
import {
  checkArray,
  checkBoolean,
  checkChoice,
  checkObject,
  checkOneOf,
  checkText,
} from '../../check-options.ts';
import { parseIdentifier } from '../../layers/identifier.ts';
import { formatLayerName, parseLayerName } from '../../layers/layer-name.ts';
import { checkLsn, formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import { isCanonicalName } from '../../layers/name-digits.ts';
import {
  decodeTimelineMetadata,
  MAXIMUM_PG_VERSION,
  MINIMUM_PG_VERSION,
  type TimelineMetadataFields,
} from '../../write-once/timeline-metadata.ts';
import type { JsonObject } from '../exact-json.ts';
import type { JsonField } from '../json-fields.ts';
import { decodeLayerEntry, encodeLayerEntry, type IndexLayer } from './layer-entry.ts';
import { mergeFields } from './merge-fields.ts';

/** The version that is written. */
export const INDEX_VERSION = 15;

/** Where a timeline came from. */
export interface Lineage {
  /** Whether `reparentingHistory` was truncated. */
  readonly reparentingHistoryTruncated: boolean;
  /** Ids of former ancestors, the oldest first. */
  readonly reparentingHistory: readonly string[];
  /** The ancestor from which the timeline was detached. */
  readonly originalAncestor:
    | { readonly timelineId: string; readonly lsn: Lsn; readonly detachedAt: string }
    | undefined;
}

/** Why garbage collection is blocked. */
export interface GcBlocking {
  /** When it was blocked. */
  readonly startedAt: string;
  /** A pageserver does not attach a tenant with an empty list. */
  readonly reasons: readonly ('Manual' | 'DetachAncestor')[];
}

/** The import of a data directory. */
export interface PgdataImport {
  /** Whether it is finished. */
  readonly state: 'in-progress' | 'done';
  /** Free text that identifies an import. */
  readonly idempotencyKey: string;
  /** When it was started. */
  readonly startedAt: string;
  /** When it was finished. */
  readonly finishedAt: string | undefined;
}

/** How far the sizes of relations have moved to their new form. */
export type RelSizeMigration = 'legacy' | 'migrating' | 'migrated';

/** The fields of an index. Times are text: UTC, without a zone, such as `2024-07-19T09:00:00.123`. */
export interface IndexPartFields {
  /** Informative. 0 if it is missing. */
  readonly version: number;
  /** Since when the timeline is being deleted. */
  readonly deletedAt: string | undefined;
  /** Since when the timeline is archived. */
  readonly archivedAt: string | undefined;
  /** The import that created the timeline. */
  readonly importPgdata: PgdataImport | undefined;
  /** By canonical name, without a generation. */
  readonly layers: ReadonlyMap<string, IndexLayer>;
  /** The metadata; its `diskConsistentLsn` takes precedence over the other copy. */
  readonly metadata: TimelineMetadataFields;
  /** Where the timeline came from. */
  readonly lineage: Lineage;
  /** Why garbage collection is blocked, if it is. */
  readonly gcBlocking: GcBlocking | undefined;
  /** Unused by now. */
  readonly lastAuxFilePolicy: 'v1' | 'v2' | 'cross-validation' | undefined;
  /** `legacy` if it is missing. */
  readonly relSizeMigration: RelSizeMigration;
  /** Unused by now. */
  readonly l2Lsn: Lsn | undefined;
  /** Up to where gc-compaction was completed. */
  readonly gcCompactionLsn: Lsn | undefined;
  /** Since when the timeline is invisible. */
  readonly markedInvisibleAt: string | undefined;
  /** From which LSN on relation directories of the new form are read. */
  readonly relSizeMigratedAt: Lsn | undefined;
}

const POLICIES = ['v1', 'v2', 'cross-validation'] as const;
const MIGRATIONS = ['legacy', 'migrating', 'migrated'] as const;
const REASONS = ['Manual', 'DetachAncestor'] as const;
/** Names of versions that no reader uses. */
const OBSOLETE = ['timeline_layers', 'missing_layers'];

/** Decodes an index. `maximumLayers`: more layers are refused. */
export function decodeIndexFields(root: JsonField, maximumLayers: number): IndexPartFields {
  const field = (name: string): JsonField => root.field(name);
  const time = (name: string): string | undefined => field(name).optional((value) => value.time());
  const lsn = (name: string): Lsn | undefined => field(name).optional((value) => value.lsn());
  // Required, although the one in the metadata takes precedence.
  field('disk_consistent_lsn').lsn();
  return {
    version: field('version').value === undefined ? 0 : field('version').count(),
    deletedAt: time('deleted_at'),
    archivedAt: time('archived_at'),
    importPgdata: field('import_pgdata').optional(decodeImport),
    layers: decodeLayers(field('layer_metadata'), maximumLayers),
    metadata: decodeMetadata(metadataField(root)),
    lineage: decodeLineage(field('lineage')),
    gcBlocking: field('gc_blocking').optional(decodeGcBlocking),
    lastAuxFilePolicy: field('last_aux_file_policy').optional(decodePolicy),
    relSizeMigration:
      field('rel_size_migration').optional((value) => value.word(MIGRATIONS)) ?? 'legacy',
    l2Lsn: lsn('l2_lsn'),
    gcCompactionLsn: field('gc_compaction').optional((value) =>
      value.field('last_completed_lsn').lsn(),
    ),
    markedInvisibleAt: time('marked_invisible_at'),
    relSizeMigratedAt: lsn('rel_size_migrated_at'),
  };
}

/** The stored copy of `disk_consistent_lsn` outside the metadata. */
export function storedDiskConsistentLsn(root: JsonField): Lsn {
  return root.field('disk_consistent_lsn').lsn();
}

/** Encodes an index, with the unknown fields of the one that it replaces. */
export function encodeIndexFields(fields: IndexPartFields, old: JsonObject): JsonObject {
  const current = Object.fromEntries(
    Object.entries(old)
      .filter(([name]) => !OBSOLETE.includes(name))
      .map(([name, value]) => [name === 'metadata' ? 'metadata_bytes' : name, value]),
  );
  const inner = (name: string): JsonObject => objectIn(current, name);
  const { gcCompactionLsn, gcBlocking } = fields;
  return mergeFields(current, [
    ['version', Math.max(fields.version, INDEX_VERSION)],
    ['deleted_at', fields.deletedAt],
    ['archived_at', fields.archivedAt],
    // It is not changed through the fields, only preserved.
    ['import_pgdata', fields.importPgdata && inner('import_pgdata')],
    ['layer_metadata', encodeLayers(fields.layers, inner('layer_metadata'))],
    ['disk_consistent_lsn', formatPgLsn(fields.metadata.diskConsistentLsn)],
    ['metadata_bytes', encodeMetadata(fields.metadata, inner('metadata_bytes'))],
    ['lineage', encodeLineage(fields.lineage, inner('lineage'))],
    ['gc_blocking', gcBlocking && encodeGcBlocking(gcBlocking, inner('gc_blocking'))],
    ['last_aux_file_policy', fields.lastAuxFilePolicy],
    ['rel_size_migration', encodeMigration(fields.relSizeMigration, current)],
    ['l2_lsn', textOf(fields.l2Lsn)],
    [
      'gc_compaction',
      gcCompactionLsn === undefined
        ? undefined
        : mergeFields(inner('gc_compaction'), [
            ['last_completed_lsn', formatPgLsn(gcCompactionLsn)],
          ]),
    ],
    ['marked_invisible_at', fields.markedInvisibleAt],
    ['rel_size_migrated_at', textOf(fields.relSizeMigratedAt)],
  ]);
}

/** Either name, but not both. */
function metadataField(root: JsonField): JsonField {
  const [field, alias] = [root.field('metadata_bytes'), root.field('metadata')];
  if (field.value === undefined) return alias.value === undefined ? field : alias;
  if (alias.value === undefined) return field;
  throw alias.error('no field of this name in addition to metadata_bytes');
}

function decodeMetadata(field: JsonField): TimelineMetadataFields {
  if (Array.isArray(field.value)) {
    const bytes = Uint8Array.from(field.array().map((byte) => byte.count(0xff)));
    const {
      storedFormatVersion: _version,
      checksum: _checksum,
      ...fields
    } = decodeTimelineMetadata(bytes);
    return fields;
  }
  return {
    diskConsistentLsn: field.field('disk_consistent_lsn').lsn(),
    prevRecordLsn: field.field('prev_record_lsn').optional((value) => value.lsn()) ?? null,
    ancestorTimeline:
      field.field('ancestor_timeline').optional((value) => value.identifier()) ?? null,
    ancestorLsn: field.field('ancestor_lsn').lsn(),
    latestGcCutoffLsn: field.field('latest_gc_cutoff_lsn').lsn(),
    initdbLsn: field.field('initdb_lsn').lsn(),
    pgVersion: decodePgVersion(field.field('pg_version')),
  };
}

function decodePgVersion(field: JsonField): number {
  const version = field.count();
  if (version >= MINIMUM_PG_VERSION && version <= MAXIMUM_PG_VERSION) return version;
  throw field.error(`an integer from ${MINIMUM_PG_VERSION} to ${MAXIMUM_PG_VERSION}`);
}

function encodeMetadata(fields: TimelineMetadataFields, old: JsonObject): JsonObject {
  return mergeFields(old, [
    ['disk_consistent_lsn', formatPgLsn(fields.diskConsistentLsn)],
    ['prev_record_lsn', fields.prevRecordLsn === null ? null : formatPgLsn(fields.prevRecordLsn)],
    ['ancestor_timeline', fields.ancestorTimeline],
    ['ancestor_lsn', formatPgLsn(fields.ancestorLsn)],
    ['latest_gc_cutoff_lsn', formatPgLsn(fields.latestGcCutoffLsn)],
    ['initdb_lsn', formatPgLsn(fields.initdbLsn)],
    ['pg_version', fields.pgVersion],
  ]);
}

function decodeLayers(field: JsonField, maximum: number): ReadonlyMap<string, IndexLayer> {
  const layers = new Map<string, IndexLayer>();
  for (const [name, entry] of field.fields()) {
    if (layers.size === maximum) throw field.error(`at most ${maximum} layers`);
    const canonical = entry.parsed(() => canonicalLayerName(name));
    if (layers.has(canonical)) throw entry.error('each layer once');
    layers.set(canonical, decodeLayerEntry(entry));
  }
  return layers;
}

/** Sorted by name; a pageserver writes them in arbitrary order. */
function encodeLayers(layers: ReadonlyMap<string, IndexLayer>, old: JsonObject): JsonObject {
  const entries = new Map<string, JsonObject>();
  for (const name of Object.keys(old)) entries.set(canonicalLayerName(name), objectIn(old, name));
  const names = [...layers.keys()].sort();
  return Object.fromEntries(
    names.flatMap((name) => {
      const layer = layers.get(name);
      return layer === undefined ? [] : [[name, encodeLayerEntry(layer, entries.get(name))]];
    }),
  );
}

/** The name of a layer as an index writes it: canonical, without a generation. */
export function canonicalLayerName(name: string): string {
  checkText('layer name', name);
  if (isCanonicalName(name)) return name;
  return formatLayerName({ ...parseLayerName(name), generation: undefined });
}

function decodeLineage(field: JsonField): Lineage {
  const inner = (name: string): JsonField | undefined =>
    field.value === undefined ? undefined : field.field(name);
  const history = inner('reparenting_history')?.optional((value) => value.array()) ?? [];
  return {
    reparentingHistoryTruncated:
      inner('reparenting_history_truncated')?.optional((value) => value.boolean()) ?? false,
    reparentingHistory: history.map((id) => id.identifier()),
    originalAncestor: inner('original_ancestor')?.optional((value) => {
      const [id, lsn, time, ...more] = value.array();
      if (id === undefined || lsn === undefined || time === undefined || more.length > 0) {
        throw value.error('an id, an LSN and a time');
      }
      return { timelineId: id.identifier(), lsn: lsn.lsn(), detachedAt: time.time() };
    }),
  };
}

/** Checks the words and the nested fields. Throws `invalid-input`. */
export function checkIndexFields(fields: IndexPartFields): void {
  const { lineage, gcBlocking, lastAuxFilePolicy, relSizeMigration } = fields;
  checkObject('lineage', lineage);
  checkArray('reparentingHistory', lineage.reparentingHistory);
  for (const id of lineage.reparentingHistory) parseIdentifier(id, 'id in reparentingHistory');
  checkBoolean('reparentingHistoryTruncated', lineage.reparentingHistoryTruncated);
  if (lineage.originalAncestor !== undefined) checkAncestor(lineage.originalAncestor);
  if (gcBlocking !== undefined) {
    checkObject('gcBlocking', gcBlocking);
    checkText('startedAt of gcBlocking', gcBlocking.startedAt);
    checkArray('reasons of gcBlocking', gcBlocking.reasons);
    for (const reason of gcBlocking.reasons) checkOneOf('reason of gcBlocking', reason, REASONS);
  }
  checkChoice('lastAuxFilePolicy', lastAuxFilePolicy, POLICIES);
  checkOneOf('relSizeMigration', relSizeMigration, MIGRATIONS);
}

function checkAncestor(ancestor: NonNullable<Lineage['originalAncestor']>): void {
  checkObject('originalAncestor', ancestor);
  parseIdentifier(ancestor.timelineId, 'timelineId of originalAncestor');
  checkLsn(ancestor.lsn, 'lsn of originalAncestor');
  checkText('detachedAt of originalAncestor', ancestor.detachedAt);
}

function encodeLineage(lineage: Lineage, old: JsonObject): JsonObject {
  const { reparentingHistory: history, originalAncestor: original } = lineage;
  return mergeFields(old, [
    ['reparenting_history_truncated', lineage.reparentingHistoryTruncated ? true : undefined],
    ['reparenting_history', history.length === 0 ? undefined : history],
    [
      'original_ancestor',
      original && [original.timelineId, formatPgLsn(original.lsn), original.detachedAt],
    ],
  ]);
}

function decodeGcBlocking(field: JsonField): GcBlocking {
  const reasons = field.field('reasons').array();
  return {
    startedAt: field.field('started_at').time(),
    reasons: reasons.map((reason) => reason.word(REASONS)),
  };
}

function encodeGcBlocking(blocking: GcBlocking, old: JsonObject): JsonObject {
  return mergeFields(old, [
    ['started_at', blocking.startedAt],
    ['reasons', blocking.reasons],
  ]);
}

function decodePolicy(field: JsonField): 'v1' | 'v2' | 'cross-validation' {
  const text = field.text().toLowerCase();
  const policy = POLICIES.find((candidate) => candidate === text);
  if (policy === undefined) throw field.error(POLICIES.map((word) => `'${word}'`).join(' or '));
  return policy;
}

function decodeImport(field: JsonField): PgdataImport {
  const version = field.field('V1');
  const running = version.field('InProgress');
  const isDone = running.value === undefined;
  const state = isDone ? version.field('Done') : running;
  return {
    state: isDone ? 'done' : 'in-progress',
    idempotencyKey: state.field('idempotency_key').text(),
    startedAt: state.field('started_at').time(),
    finishedAt: isDone ? state.field('finished_at').time() : undefined,
  };
}

/** `legacy` is written only if it was present before. */
function encodeMigration(migration: RelSizeMigration, old: JsonObject): string | undefined {
  return migration === 'legacy' && old['rel_size_migration'] !== 'legacy' ? undefined : migration;
}

function textOf(lsn: Lsn | undefined): string | undefined {
  return lsn === undefined ? undefined : formatPgLsn(lsn);
}

function objectIn(fields: JsonObject, name: string): JsonObject {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as JsonObject) : {};
}
