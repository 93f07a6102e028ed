/**
 * Checks a timeline: its index against the files that exist, its layers against each other, and the content of the
 * files. Everything is present, absent or unknown; an object that could not be looked up is unknown, never absent.
 */
import { join } from 'node:path';
import { isStorageError } from '../errors.ts';
import { pathOfObject } from '../object-store/object-store.ts';
import { CheckPool, LAYERS_PER_THREAD, type LayerPlace } from './check-pool.ts';
import { inOrder } from './in-order.ts';
import {
  failedCheck,
  type LayerCheckDepth,
  type LayerCheckResult,
  type LayerExpectation,
} from './layer-check.ts';
import {
  type CheckFinding,
  isLayerOk,
  type LayerDecision,
  type LayerFileRecord,
  type LayerRecord,
  type LayerState,
  type ReconciledLayer,
} from './reconcile.ts';
import { reconcileSurveys } from './reconcile-surveys.ts';
import {
  keyOfIndexed,
  type SurveyedFile,
  type SurveyedLayer,
  type TimelineSurvey,
} from './survey.ts';
import {
  checkIndex,
  checkLayerMap,
  checkStaleIndex,
  checkUnknownFiles,
} from './timeline-checks.ts';
import { isOfShard, type WorkShare } from './work-share.ts';

/** How the files of a timeline are checked. */
export interface CheckOptions {
  /** If undefined, no file is opened. */
  readonly depth: LayerCheckDepth | undefined;
  /** Files at a time. */
  readonly parallel: number;
  /** Maximum number of bytes to read; files beyond that are not opened. */
  readonly byteBudget?: number | undefined;
  /** Layers that are checked; default: all. */
  readonly share?: WorkShare | undefined;
  /** Names of layers; others are left out. */
  readonly only?: ReadonlySet<string> | undefined;
  readonly maximumFindings?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One layer, or a leftover of one. */
export interface CheckedLayer {
  readonly name: string;
  /** Number and count of the shard whose timeline was checked, 4 hex digits; undefined if it is not sharded. */
  readonly shard?: string | undefined;
  readonly state: LayerState;
  readonly ok: boolean;
  readonly decision: LayerDecision | undefined;
  readonly findings: readonly CheckFinding[];
  /** Errors, listed or not. */
  readonly errors: number;
  /** Warnings, listed or not. */
  readonly warnings: number;
  /** Whether something could not be examined. */
  readonly isFailed: boolean;
}

/** The summary of a check. */
export interface CheckSummary {
  readonly layers: number;
  readonly ok: boolean;
  readonly errors: number;
  readonly warnings: number;
  readonly unknown: number;
  /** Gaps of at least 16,384 keys between the layers; undefined if there is no layer map. */
  readonly holes: number | undefined;
  /** Findings about the timeline as a whole. */
  readonly findings: readonly CheckFinding[];
}

/** Bytes that a check of the summary counts towards the budget. */
const SUMMARY_LENGTH = 8192;

/** A check of one timeline: iterate over the layers, then take the summary. */
export class TimelineCheck {
  readonly #surveys: readonly TimelineSurvey[];
  readonly #options: CheckOptions;
  readonly #findings: CheckFinding[] = [];
  #holes: number | undefined;
  #places: Map<LayerFileRecord, FileToRead> | undefined;
  #budget: number;
  #layers = 0;
  #unknown = 0;
  #errors = 0;
  #warnings = 0;
  #isOk = true;

  /** @param against - A second place: the bucket of a directory, or the other way round. */
  constructor(survey: TimelineSurvey, against: TimelineSurvey | undefined, options: CheckOptions) {
    this.#surveys = against === undefined ? [survey] : [survey, against];
    this.#options = options;
    this.#budget = options.byteBudget ?? Number.POSITIVE_INFINITY;
  }

  /** In byte order of the names. Throws `aborted`. */
  async *layers(): AsyncGenerator<CheckedLayer> {
    const { depth, parallel, signal } = this.#options;
    const pool = new CheckPool({ threadCount: depth === 'every-byte' ? parallel : 0, signal });
    const shard = this.#surveys[0]?.location.shard;
    const limit = parallel * LAYERS_PER_THREAD;
    try {
      for await (const layer of inOrder(this.#items(), limit, (item) => this.#look(item, pool))) {
        this.#count(layer);
        yield shard === undefined ? layer : { ...layer, shard };
      }
    } finally {
      await pool.close();
    }
  }

  /** Bytes of the budget that are left. */
  get bytesLeft(): number {
    return this.#budget;
  }

  /** Requires: all layers have been iterated over. */
  summary(): CheckSummary {
    return {
      layers: this.#layers,
      ok: this.#isOk,
      errors: this.#errors,
      warnings: this.#warnings,
      unknown: this.#unknown,
      holes: this.#holes,
      findings: this.#findings,
    };
  }

  *#items(): Generator<Item> {
    const reconciled = reconcileSurveys(this.#surveys);
    const { share, only } = this.#options;
    this.#checkWhole(reconciled);
    const items: Item[] = reconciled.map((layer) => ({ name: layer.name, layer }));
    for (const { leftovers } of this.#surveys) {
      for (const file of leftovers) items.push({ name: file.name, leftover: file });
    }
    items.sort((left, right) => (left.name < right.name ? -1 : 1));
    for (const item of items) {
      if (only !== undefined && !only.has(item.name)) continue;
      if (share === undefined || isOfShard(item.name, share)) yield item;
    }
  }

  /** Checks the timeline as a whole. If the layers are shared among workers, each worker reports this. */
  #checkWhole(reconciled: readonly ReconciledLayer[]): void {
    const indexed = this.#surveys.find(({ index }) => index !== undefined);
    const [main] = this.#surveys;
    const about = indexed ?? main;
    if (about !== undefined) this.#addAll(checkIndex(about));
    if (indexed?.index !== undefined) this.#addAll(checkStaleIndex(indexed.index, reconciled));
    for (const survey of this.#surveys) this.#addAll(checkUnknownFiles(survey));
    const used = reconciled.filter(({ state }) => state !== 'extra' && state !== 'future');
    const { findings, holes } = checkLayerMap(used.map(({ name }) => name));
    this.#addAll(findings);
    this.#holes = holes;
  }

  #addAll(findings: readonly CheckFinding[]): void {
    for (const finding of findings) {
      this.#findings.push(finding);
      if (finding.severity === 'warning') this.#warnings += 1;
      else {
        this.#errors += 1;
        this.#isOk = false;
      }
    }
  }

  #count({ state, ok, errors, warnings }: CheckedLayer): void {
    this.#layers += state === 'leftover' ? 0 : 1;
    if (state === 'unknown') this.#unknown += 1;
    if (!ok) this.#isOk = false;
    this.#errors += errors;
    this.#warnings += warnings;
  }

  async #look(item: Item, pool: CheckPool): Promise<CheckedLayer> {
    if ('leftover' in item) return leftoverLine(item.leftover);
    const { layer } = item;
    const file = this.#fileToRead(layer);
    const { depth } = this.#options;
    if (file === undefined || depth === undefined) return lineOf(layer, undefined);
    const size = depth === 'summary' ? SUMMARY_LENGTH : file.size;
    if (size > this.#budget) return overBudget(layer);
    this.#budget -= size;
    const { maximumFindings } = this.#options;
    const { location } = file.survey;
    const expected = { name: layer.name, tenantId: location.tenantId, depth, maximumFindings };
    const result = await this.#checkFile(file, expected, pool);
    const isThere = layer.state === 'unknown' && !file.survey.isListed;
    return lineOf(isThere ? { ...layer, state: 'ok' } : layer, result);
  }

  /** The file in the first place, or else the one in the second. */
  #fileToRead({ local, remote, indexed }: ReconciledLayer): FileToRead | undefined {
    this.#places ??= new Map(
      this.#surveys.flatMap((survey) =>
        survey.layers.map((file) => [file, { ...file, survey }] as const),
      ),
    );
    const files = [local, remote].map((file) => file && this.#places?.get(file));
    const [main] = this.#surveys;
    const file =
      files.find((found) => found?.survey === main) ?? files.find((found) => found !== undefined);
    return file ?? this.#unlisted(indexed);
  }

  /** The place that the index names, if the store cannot list. */
  #unlisted(indexed: LayerRecord | undefined): FileToRead | undefined {
    const survey = this.#surveys.find(({ isListed }) => !isListed);
    if (survey === undefined || indexed === undefined) return undefined;
    const key = keyOfIndexed(survey, indexed);
    if (key === undefined) return undefined;
    const { store } = survey;
    return { ...indexed, key, path: pathOfObject(store, key), size: Number(indexed.size), survey };
  }

  async #checkFile(
    { key, survey }: FileToRead,
    expected: LayerExpectation,
    pool: CheckPool,
  ): Promise<LayerCheckResult> {
    try {
      return await pool.check(placeAt(survey, key), expected);
    } catch (error) {
      if (!isStorageError(error) || error.code === 'aborted' || error.code === 'closed')
        throw error;
      return failedCheck(error);
    }
  }
}

type Item =
  | { readonly name: string; readonly layer: ReconciledLayer }
  | { readonly name: string; readonly leftover: SurveyedFile };

interface FileToRead extends SurveyedLayer {
  readonly survey: TimelineSurvey;
}

/** A layer of a directory is read as a file. */
function placeAt({ store, directory }: TimelineSurvey, key: string): LayerPlace {
  return directory === undefined ? { store, key } : join(directory, key);
}

function lineOf(layer: ReconciledLayer, result: LayerCheckResult | undefined): CheckedLayer {
  const { name, decision } = layer;
  const failure = result?.failure;
  const findings = [
    ...layer.findings,
    ...(result?.findings ?? []),
    ...(failure === undefined ? [] : [failure]),
  ];
  const isVanished = failure?.code === 'not-found';
  const state = failure === undefined ? layer.state : isVanished ? 'missing' : 'unknown';
  const own = (severity: CheckFinding['severity']): number =>
    layer.findings.filter((finding) => finding.severity === severity).length;
  return {
    name,
    state,
    ok: isLayerOk({ state, findings }) && (result?.errors ?? 0) === 0,
    decision,
    findings,
    errors: own('error') + (result?.errors ?? 0) + (failure === undefined ? 0 : 1),
    warnings: own('warning') + (result?.warnings ?? 0),
    isFailed: failure !== undefined && !isVanished,
  };
}

function overBudget(layer: ReconciledLayer): CheckedLayer {
  const message = 'not read: the byte budget is used up';
  const finding: CheckFinding = { severity: 'warning', code: 'too-large', message };
  const line = lineOf({ ...layer, findings: [...layer.findings, finding] }, undefined);
  return line.state === 'ok' ? { ...line, state: 'unknown' } : line;
}

function leftoverLine({ name, path }: SurveyedFile): CheckedLayer {
  const message = `left by a writer that did not finish: ${path}`;
  return {
    name,
    state: 'leftover',
    ok: true,
    decision: 'delete',
    findings: [{ severity: 'warning', code: 'exists', message }],
    errors: 0,
    warnings: 1,
    isFailed: false,
  };
}
