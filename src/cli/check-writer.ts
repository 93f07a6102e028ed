/**
 * The three output forms of a check: one object per layer and a summary, one document, or the findings for people.
 */
import { printable } from '../printable.ts';
import type { CheckedLayer, CheckSummary } from '../timeline/check.ts';
import type { CheckFinding } from '../timeline/reconcile.ts';
import { paint } from './colour.ts';
import type { Format } from './context.ts';
import { formatCount, formatNumberOf } from './human.ts';
import { encodeJson, type Json } from './json.ts';
import type { Output } from './output.ts';

export interface CheckWriter {
  layer(layer: CheckedLayer): Promise<void>;
  end(summary: CheckSummary): Promise<void>;
}

export function createCheckWriter(
  output: Output,
  { format, isQuiet }: { format: Format; isQuiet: boolean },
): CheckWriter {
  switch (format) {
    case 'json':
      return new DocumentWriter(output, isQuiet);
    case 'ndjson':
      return new LineWriter(output, isQuiet);
    case 'people':
      return new PeopleWriter(output, isQuiet);
  }
}

/** Whether a layer has a line if only findings are wanted. */
function isNews({ ok, findings, state }: CheckedLayer): boolean {
  return !ok || findings.length > 0 || state === 'unknown';
}

class DocumentWriter implements CheckWriter {
  readonly #output: Output;
  readonly #isQuiet: boolean;
  #count = 0;

  constructor(output: Output, isQuiet: boolean) {
    this.#output = output;
    this.#isQuiet = isQuiet;
  }

  async layer(layer: CheckedLayer): Promise<void> {
    if (this.#isQuiet && !isNews(layer)) return;
    if (this.#count === 0) this.#output.beginDocument('\n]}\n');
    const before = this.#count === 0 ? '{"layers":[\n' : ',\n';
    this.#count += 1;
    await this.#output.write(before + encodeJson(layerJson(layer)));
  }

  async end(summary: CheckSummary): Promise<void> {
    this.#output.endDocument();
    const before = this.#count === 0 ? '{"layers":[' : '\n';
    const rest = encodeJson(summaryJson(summary)).slice(1);
    await this.#output.write(`${before}],${rest}\n`);
  }
}

/** The line of a layer is written before the next layer is awaited. */
class LineWriter implements CheckWriter {
  readonly #output: Output;
  readonly #isQuiet: boolean;

  constructor(output: Output, isQuiet: boolean) {
    this.#output = output;
    this.#isQuiet = isQuiet;
  }

  async layer(layer: CheckedLayer): Promise<void> {
    if (this.#isQuiet && !isNews(layer)) return;
    await this.#output.write(`${encodeJson(layerJson(layer))}\n`);
    await this.#output.flush();
  }

  async end(summary: CheckSummary): Promise<void> {
    await this.#output.write(`${encodeJson(summaryJson(summary))}\n`);
  }
}

class PeopleWriter implements CheckWriter {
  readonly #output: Output;
  readonly #isQuiet: boolean;
  readonly #states = new Map<string, number>();

  constructor(output: Output, isQuiet: boolean) {
    this.#output = output;
    this.#isQuiet = isQuiet;
  }

  async layer(layer: CheckedLayer): Promise<void> {
    const { name, shard, ok, state, findings, errors, warnings } = layer;
    this.#states.set(state, (this.#states.get(state) ?? 0) + 1);
    if (!isNews(layer) || (findings.length === 0 && state === 'unknown')) return;
    const style = ok ? 'yellow' : 'red';
    const ofShard = shard === undefined ? '' : `  shard ${shard}`;
    await this.#output.write(
      `${paint(this.#output, style, state)}  ${printable(name)}${ofShard}\n`,
    );
    for (const finding of findings) await this.#finding(finding);
    const hidden = errors + warnings - findings.length;
    if (hidden > 0) {
      await this.#output.write(
        `  ... ${formatNumberOf(hidden, 'more finding', 'more findings')}\n`,
      );
    }
    await this.#output.flush();
  }

  async end(summary: CheckSummary): Promise<void> {
    for (const finding of summary.findings) await this.#finding(finding);
    if (this.#isQuiet && summary.ok) return;
    const { errors, warnings, holes } = summary;
    const states = [...this.#states].map(([state, count]) => `${formatCount(count)} ${state}`);
    const counts = [
      formatNumberOf(summary.layers, 'layer', 'layers'),
      ...states,
      ...(errors > 0 ? [formatNumberOf(errors, 'error', 'errors')] : []),
      ...(warnings > 0 ? [formatNumberOf(warnings, 'warning', 'warnings')] : []),
      ...(holes ? [formatNumberOf(holes, 'hole', 'holes')] : []),
    ];
    const verdict = summary.ok
      ? paint(this.#output, 'green', 'ok')
      : paint(this.#output, 'red', 'not ok');
    await this.#output.write(`${counts.join(', ')}: ${verdict}\n`);
  }

  async #finding({ severity, code, message }: CheckFinding): Promise<void> {
    const style = severity === 'error' ? 'red' : 'yellow';
    const label = paint(this.#output, style, `${severity}[${code}]:`);
    await this.#output.write(`  ${label} ${printable(message)}\n`);
  }
}

function layerJson({ name, shard, state, ok, decision, findings }: CheckedLayer): Json {
  return { name, shard, state, ok, decision, findings: findings.map(findingJson) };
}

function summaryJson({ findings, holes, ...counts }: CheckSummary): Json {
  return { summary: { ...counts, holes }, findings: findings.map(findingJson) };
}

function findingJson({ severity, code, message, offset, key, lsn }: CheckFinding): Json {
  return { severity, code, message, offset, key, lsn };
}
