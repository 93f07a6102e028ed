/** The page of a timeline: written by the command, and its layers collected in the process. */
import { rmSync, statSync } from 'node:fs';
import { CLI, timeNode } from '../harness/processes.mjs';
import { check } from '../harness/row-context.mjs';

const LAYERS = 100_000;

/** Pages that are larger are too large to be sent to somebody. */
const MAXIMUM_SIZE = 15_000_000;

export function groupsOf({ scaled }) {
  const count = scaled(LAYERS);
  const fixture = `timeline-${count}`;
  return [
    {
      title: `map: a page of ${count} layers, from an index_part.json`,
      fixtures: [fixture],
      rows: [
        {
          role: 'floor',
          name: 'floor: node, parses the index as JSON',
          shortName: 'floor',
          measure: async (context) => {
            const path = context.fixture(fixture);
            context.note(await timeNode(['-e', PARSE, path]));
            return { operations: count, bytes: statSync(path).size };
          },
        },
        {
          role: 'layerfile',
          name: 'layerfile map',
          measure: async (context) => {
            const path = context.fixture(fixture);
            const page = `${path}.html`;
            context.note(await timeNode([CLI, 'map', path, '--out', page]));
            const { size } = statSync(page);
            rmSync(page);
            check(size < MAXIMUM_SIZE, true, 'page below its maximum size');
            return { operations: count, bytes: size };
          },
        },
      ],
    },
  ];
}

const PARSE = `JSON.parse(require('node:fs').readFileSync(process.argv[1], 'utf8'));`;
