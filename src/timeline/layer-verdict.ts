/**
 * Verifies a layer, with a result that can be sent from a thread: a report, or what prevented the verification.
 */
import { isStorageError, type PlainStorageError } from '../errors.ts';
import type { LayerReport } from '../layers/findings.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import { verifyLayer } from '../layers/verify.ts';
import { PageChecks, type PageCounts } from '../postgres/page-checks.ts';
import type { OnProgress } from '../progress.ts';

/** How a layer is verified. All of it can be sent to a thread. */
export interface LayerVerification {
  readonly maximumFindings?: number | undefined;
  readonly maximumBlobLength?: number | undefined;
  readonly maximumWindowSize?: number | undefined;
  /** Whether the checksums of Postgres pages are checked. */
  readonly pageChecksums: 'check' | 'ignore';
}

/** What a verification found. All of it can be sent from a thread. */
export type LayerVerdict =
  | {
      readonly kind: 'report';
      readonly report: LayerReport;
      /** Undefined if page checksums are ignored. */
      readonly pages: PageCounts | undefined;
    }
  | { readonly kind: 'failed'; readonly error: PlainStorageError };

export interface Watch {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Throws `aborted`. */
export async function verdictOf(
  open: () => Promise<LayerInput>,
  { pageChecksums, ...limits }: LayerVerification,
  watch: Watch,
): Promise<LayerVerdict> {
  const checks = pageChecksums === 'check' ? new PageChecks() : undefined;
  try {
    const inspectValue = checks?.inspect;
    const report = await verifyLayer(await open(), { ...limits, ...watch, inspectValue });
    return { kind: 'report', report, pages: checks?.counts };
  } catch (error) {
    if (!isStorageError(error) || error.code === 'aborted') throw error;
    return { kind: 'failed', error: error.toPlain() };
  }
}
