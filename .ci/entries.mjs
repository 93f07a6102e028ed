/** The entries of the package that programs import, by name: `index`, `layers` and so on, with their source files. */
import { readFileSync } from 'node:fs';

const PROGRAMS = ['./compression-thread', './package.json'];

const { exports } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

export const ENTRIES = Object.fromEntries(
  Object.keys(exports)
    .filter((entry) => !PROGRAMS.includes(entry))
    .map((entry) =>
      entry === '.' ? ['index', 'index'] : [entry.slice(2), `entry/${entry.slice(2)}`],
    ),
);
