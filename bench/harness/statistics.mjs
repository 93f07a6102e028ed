/** From the runs of a group's rows to the numbers of its table. */

/** Medians, and for each row its time an operation over that of each floor and peer. */
export function summarize(rows) {
  const summaries = rows.map(summarizeRow);
  const references = summaries.filter((row) => row.role !== 'layerfile');
  for (const summary of summaries) {
    summary.ratios = Object.fromEntries(
      references
        .filter((reference) => isMeasured(reference) && isMeasured(summary))
        .map((reference) => [
          reference.shortName,
          secondsPerOperation(summary) / secondsPerOperation(reference),
        ]),
    );
  }
  return summaries;
}

function summarizeRow({ name, shortName, role, runs, missing }) {
  const row = { name, shortName: shortName ?? name, role };
  if (missing !== undefined) return { ...row, missing };
  const [{ operations, bytes, note }] = runs;
  const seconds = runs.map((run) => run.seconds).sort((left, right) => left - right);
  return {
    ...row,
    note,
    runs: runs.length,
    operations,
    bytes,
    seconds: median(seconds),
    fastest: seconds[0],
    slowest: seconds.at(-1),
    cpuSeconds: medianIfAny(runs.map((run) => run.cpuSeconds)),
    peakMemory: medianIfAny(runs.map((run) => run.peakMemory)),
  };
}

function isMeasured(row) {
  return row.missing === undefined;
}

function secondsPerOperation({ seconds, operations }) {
  return seconds / operations;
}

/** Whole processes may not tell what they used. */
function medianIfAny(values) {
  return values.includes(undefined) ? undefined : median(values);
}

function median(values) {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
