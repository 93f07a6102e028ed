/**
 * Examines one layer: compares its summary with its name and tenant, and reads every byte if
 * requested.
 */
import { type ByteSource, fileSource } from '../blob-writer/byte-source.ts';
import { isStorageError, type StorageError } from '../errors.ts';
import { isDamage } from '../layers/damage.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import { pathOrSource } from '../layers/layer-file/layer-input.ts';
import { nameOfSummary, readSummaryBlock } from '../layers/layer-file/summary.ts';
import { decodeSummary } from '../layers/layer-file/summary-format.ts';
import { formatLayerName } from '../layers/layer-name.ts';
import { verifyLayer } from '../layers/verify.ts';
import { VirtualFile } from '../virtual-file/virtual-file.ts';
import type { CheckFinding } from './reconcile.ts';

/** How thoroughly a file is examined. */
export type LayerCheckDepth = 'summary' | 'every-byte';

/** What is expected of a file. All of it can be sent to a thread. */
export interface LayerExpectation {
  /** Name of the layer, without a generation; undefined if any will do. */
  readonly name: string | undefined;
  /** 32 hex digits; undefined if any will do. */
  readonly tenantId: string | undefined;
  readonly depth: LayerCheckDepth;
  readonly maximumFindings?: number | undefined;
  readonly maximumBlobLength?: number | undefined;
  readonly maximumWindowSize?: number | undefined;
}

/** The result of the check of a file. All of it can be sent from a thread. */
export interface LayerCheckResult {
  readonly findings: readonly CheckFinding[];
  /** Listed or not. */
  readonly errors: number;
  /** Listed or not. */
  readonly warnings: number;
  /** Why the file could not be examined. Its content is then unknown. */
  readonly failure: CheckFinding | undefined;
}

/**
 * Problems of the layer, even those that prevent it from being opened, are part of the result. Throws `aborted`.
 */
export async function checkLayer(
  open: () => Promise<LayerInput>,
  expected: LayerExpectation,
  signal?: AbortSignal,
): Promise<LayerCheckResult> {
  try {
    const input = await open();
    const findings = await summaryFindings(input, expected);
    if (expected.depth === 'summary') return resultOf(findings);
    const { maximumFindings, maximumBlobLength, maximumWindowSize } = expected;
    const limits = { maximumFindings, maximumBlobLength, maximumWindowSize };
    const report = await verifyLayer(input, { ...limits, nameCheck: 'ignore', signal });
    const all = [...findings, ...report.findings];
    return {
      findings: all,
      errors: report.errors + count(findings, 'error'),
      warnings: report.warnings + count(findings, 'warning'),
      failure: undefined,
    };
  } catch (error) {
    if (!isStorageError(error) || error.code === 'aborted') throw error;
    return failedCheck(error);
  }
}

/** The result for a layer that could not be examined. */
export function failedCheck(error: StorageError): LayerCheckResult {
  return { findings: [], errors: 0, warnings: 0, failure: findingOf(error) };
}

/** An error as a finding, without its path. */
export function findingOf(error: StorageError): CheckFinding {
  const { code, offset, key, lsn } = error;
  const { message } = error.with({ path: undefined });
  return { severity: 'error', code, message, offset, key, lsn };
}

function resultOf(findings: readonly CheckFinding[]): LayerCheckResult {
  return {
    findings,
    errors: count(findings, 'error'),
    warnings: count(findings, 'warning'),
    failure: undefined,
  };
}

function count(findings: readonly CheckFinding[], severity: CheckFinding['severity']): number {
  return findings.filter((finding) => finding.severity === severity).length;
}

/** A summary that cannot be read is left to `verifyLayer`, if that follows. */
async function summaryFindings(
  input: LayerInput,
  { name, tenantId, depth }: LayerExpectation,
): Promise<CheckFinding[]> {
  try {
    return await withSource(input, async (source) => {
      const summary = decodeSummary(await readSummaryBlock(source), source.path);
      const found = formatLayerName(nameOfSummary(summary));
      const findings: CheckFinding[] = [];
      if (name !== undefined && found !== name) {
        findings.push(mismatch('summary does not match the name', name, found));
      }
      if (tenantId !== undefined && summary.tenantId !== tenantId) {
        findings.push(mismatch('tenant of the summary', tenantId, summary.tenantId));
      }
      return findings;
    });
  } catch (error) {
    if (!isDamage(error)) throw error;
    return depth === 'summary' ? [findingOf(error)] : [];
  }
}

function mismatch(what: string, expected: string, actual: string): CheckFinding {
  const message = `${what}: expected ${expected}, found ${actual}`;
  return { severity: 'error', code: 'corrupt', message, offset: 0 };
}

async function withSource<T>(
  input: LayerInput,
  use: (source: ByteSource) => Promise<T>,
): Promise<T> {
  const from = pathOrSource(input);
  if (typeof from !== 'string') return use(from);
  const file = await VirtualFile.open(from, { read: true, content: 'immutable' });
  try {
    return await use(await fileSource(file));
  } finally {
    await file.close();
  }
}
