/** Tables for people. */

export function printHardware(hardware, load) {
  const { cpu, cores, memoryMiB, node, kernel } = hardware;
  console.log(`${cpu}, ${cores} cores, ${memoryMiB} MiB; Node ${node}; ${kernel}`);
  console.log(`Load of the last minute, before anything was measured: ${load}`);
  console.log('Seconds are medians, with the fastest and the slowest run; below "/ x": the time');
  console.log('per operation, relative to that of x. Lower is better.');
}

export function printGroup({ title, rows }) {
  const references = rows.filter((row) => row.role !== 'layerfile').map((row) => row.shortName);
  const head = ['', 'seconds', '', 'MiB/s', 'operations/s', 'us each', 'CPU s', 'peak MiB'];
  const lines = [
    [...head, ...references.map((name) => `/ ${name}`)],
    ...rows.filter((row) => row.missing === undefined).map((row) => cells(row, references)),
  ];
  console.log(`\n${title}`);
  printAligned(lines);
  for (const { name, missing, note } of rows) {
    if (missing !== undefined) console.log(`  ${name}: not available: ${missing}`);
    else if (note !== undefined) console.log(`  ${name}: ${note}`);
  }
}

function cells(row, references) {
  const { name, seconds, fastest, slowest, operations, bytes, cpuSeconds, peakMemory } = row;
  return [
    name,
    seconds.toPrecision(3),
    `${fastest.toPrecision(3)}..${slowest.toPrecision(3)}`,
    bytes === undefined ? '' : (bytes / seconds / 2 ** 20).toFixed(0),
    Math.round(operations / seconds).toLocaleString('en-US'),
    ((seconds / operations) * 1e6).toPrecision(3),
    cpuSeconds?.toPrecision(3) ?? '',
    peakMemory === undefined ? '' : (peakMemory / 2 ** 20).toFixed(0),
    ...references.map((reference) => row.ratios[reference]?.toFixed(2) ?? ''),
  ];
}

function printAligned(lines) {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  for (const line of lines) {
    const aligned = line.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    );
    console.log(`  ${aligned.join('  ')}`.trimEnd());
  }
}
