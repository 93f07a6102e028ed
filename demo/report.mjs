/** The output of the demo. */
const NUMBER = new Intl.NumberFormat('en-US');

export function count(value) {
  return NUMBER.format(value);
}

export function bytes(value) {
  if (value < 1024 ** 2) return `${(value / 1024).toFixed(1)} KiB`;
  return `${(value / 1024 ** 2).toFixed(1)} MiB`;
}

export function times(larger, smaller) {
  return `${(larger / smaller).toFixed(1)} times`;
}

export function plural(value, word) {
  return `${count(value)} ${word}${value === 1 ? '' : 's'}`;
}

/** Runs one step and prints its title, its time and its results. */
export async function step(title, action) {
  const start = performance.now();
  const { lines, value } = await action();
  const seconds = `${((performance.now() - start) / 1000).toFixed(1)} s`;
  console.log(`\n${title.padEnd(72)} ${seconds.padStart(7)}`);
  for (const line of lines) console.log(line === '' ? '' : `  ${line}`);
  return value;
}

/** Rows of cells; the first column to the left, the others to the right. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join('   '),
  );
}
