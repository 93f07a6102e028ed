/** From the runs of a group's rows to the numbers of its table. */

/**
 * Medians, and for each row its time per operation relative to that of each floor and peer: `ratios`, and
 * `cpuRatios` of processor time, which others on the machine disturb less.
 */
export function summarize(rows) {
  const summaries = rows.map(summarizeRow);
  const references = summaries.filter((row) => row.role !== 'layerfile');
  for (const summary of summaries) {
    summary.ratios = ratiosOf('seconds', summary, references);
    summary.cpuRatios = ratiosOf('cpuSeconds', summary, references);
  }
  return summaries;
}

/** Rows that are missing, or do not report a value, are left out. */
function ratiosOf(field, row, references) {
  const ratios = {};
  for (const reference of references) {
    if (row[field] === undefined || reference[field] === undefined) continue;
    const own = row[field] / row.operations;
    ratios[reference.shortName] = own / (reference[field] / reference.operations);
  }
  return ratios;
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

/** Processes may not report what they used. */
function medianIfAny(values) {
  return values.includes(undefined) ? undefined : median(values);
}

function median(values) {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
