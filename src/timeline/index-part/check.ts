/**
 * Checks an index as a whole: for what prevents a pageserver from attaching the timeline, what it drops when it does,
 * and what Neon's scrubber reports.
 */
import { checkBigint, checkOptions, checkText } from '../../check-options.ts';
import { isStorageError } from '../../errors.ts';
import { parseLayerName } from '../../layers/layer-name.ts';
import { formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import { joinHalves } from '../../layers/lsn-halves.ts';
import { newNameDigits, readCanonicalName } from '../../layers/name-digits.ts';
import { compareGenerations, type Generation } from '../generation.ts';
import { LayerMap } from '../layer-map/layer-map.ts';
import { INDEX_VERSION } from './index-fields.ts';
import { checkIndexPartArgument, type IndexPart } from './index-part.ts';

/** A problem of an index. */
export interface IndexFinding {
  /** An error prevents the timeline from being used unchanged. */
  readonly severity: 'error' | 'warning';
  /** A short name of the rule. */
  readonly rule:
    | 'version'
    | 'disk-consistent-lsn'
    | 'no-layers'
    | 'gc-blocking'
    | 'empty-layer'
    | 'future-layer'
    | 'future-generation'
    | 'layer-map';
  /** The problem, as one line of text. */
  readonly message: string;
  /** The layer concerned. */
  readonly layer?: string;
}

/** Options of `checkIndexPart`. */
export interface CheckIndexPartOptions {
  /** Of the pageserver, or of the name of the index: no layer may have a higher one. */
  readonly generation?: Generation;
}

/** Reused from name to name. */
const DIGITS = newNameDigits();

/** Whether a layer has records after this LSN. A pageserver drops such layers at startup. */
export function isFutureLayer(name: string, diskConsistentLsn: Lsn): boolean {
  checkText('name of a layer', name);
  checkBigint('diskConsistentLsn', diskConsistentLsn);
  const { lsns } = DIGITS;
  if (readCanonicalName(name, DIGITS)) {
    return joinHalves(lsns[2] ?? 0, lsns[3] ?? 0) > diskConsistentLsn + 1n;
  }
  const layer = parseLayerName(name);
  return layer.kind === 'image'
    ? layer.lsn > diskConsistentLsn
    : layer.lsnRange.end > diskConsistentLsn + 1n;
}

/** Checks an index without its layers. Returns: the findings, those of layers last, in the order of their names. */
export function checkIndexPart(
  index: IndexPart,
  options: CheckIndexPartOptions = {},
): IndexFinding[] {
  checkIndexPartArgument('index', index);
  checkOptions(options, { generation: true });
  const { generation } = options;
  const { fields, storedDiskConsistentLsn: stored } = index;
  const { layers, metadata } = fields;
  const findings: IndexFinding[] = [];
  const error = (rule: IndexFinding['rule'], message: string, layer?: string): void => {
    findings.push({ severity: 'error', rule, message, ...(layer === undefined ? {} : { layer }) });
  };
  const warning = (rule: IndexFinding['rule'], message: string, layer?: string): void => {
    findings.push({
      severity: 'warning',
      rule,
      message,
      ...(layer === undefined ? {} : { layer }),
    });
  };
  if (fields.version < 1 || fields.version > INDEX_VERSION) {
    error('version', `version ${fields.version} is not one of 1 to ${INDEX_VERSION}`);
  }
  const { diskConsistentLsn } = metadata;
  if (stored !== diskConsistentLsn) {
    const counts = `${formatPgLsn(diskConsistentLsn)} of the metadata counts`;
    error('disk-consistent-lsn', `disk_consistent_lsn is ${formatPgLsn(stored)}, but ${counts}`);
  }
  const isImported = fields.importPgdata?.state === 'in-progress';
  if (diskConsistentLsn === 0n && !isImported) {
    error('disk-consistent-lsn', 'disk_consistent_lsn is 0, and no import is in progress');
  }
  if (
    layers.size === 0 &&
    metadata.ancestorTimeline === null &&
    fields.importPgdata === undefined
  ) {
    error('no-layers', 'there are no layers and no ancestor');
  }
  if (fields.gcBlocking?.reasons.length === 0) {
    error('gc-blocking', 'gc_blocking has no reasons: the tenant cannot be attached');
  }
  for (const name of [...layers.keys()].sort()) {
    const layer = layers.get(name);
    if (layer === undefined) continue;
    if (layer.fileSize === 0n) error('empty-layer', 'file_size is 0', name);
    if (isFutureLayer(name, diskConsistentLsn)) {
      warning('future-layer', `lies beyond ${formatPgLsn(diskConsistentLsn)}: it is dropped`, name);
    }
    if (generation !== undefined && compareGenerations(layer.generation, generation) > 0) {
      const own = `generation ${layer.generation} is above ${generation}`;
      error('future-generation', own, name);
    }
  }
  const violation = violationOf(layers.keys());
  if (violation !== undefined) findings.push({ rule: 'layer-map', ...violation });
  return findings;
}

function violationOf(
  names: Iterable<string>,
): { readonly severity: 'error' | 'warning'; readonly message: string } | undefined {
  try {
    const message = LayerMap.fromNames(names).violation();
    return message === undefined ? undefined : { severity: 'warning', message };
  } catch (error) {
    if (!isStorageError(error)) throw error;
    return { severity: 'error', message: error.message };
  }
}
