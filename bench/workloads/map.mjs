/** A timeline of many layers: its page and its list, written by the commands, and its layer map. */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { KEY_SIZE, parseKey, parseLsn } from '../../dist/layers.js';
import { LayerMap } from '../../dist/timeline.js';
import { CLI, timeNode } from '../harness/processes.mjs';
import { check } from '../harness/row-context.mjs';
import { randomNumbers } from '../inputs/random.mjs';

const LAYERS = 100_000;
const SEARCHES = 100_000;

/** Maximum size of a page: larger ones are too large to be sent. */
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
        {
          role: 'layerfile',
          name: 'layerfile ls --ndjson',
          measure: async (context) => {
            const path = context.fixture(fixture);
            context.note(await timeNode([CLI, 'ls', path, '--ndjson']));
            return { operations: count, bytes: statSync(path).size };
          },
        },
      ],
    },
    {
      title: `map: the layer map of ${count} layers, and ${SEARCHES} searches in it`,
      fixtures: [fixture],
      rows: [
        {
          role: 'layerfile',
          name: 'LayerMap.fromNames',
          measure: async (context) => {
            const { names } = readTimeline(context.fixture(fixture));
            const map = await context.time(() => LayerMap.fromNames(names));
            check(map.layerCount, count, 'layers');
            return { operations: count };
          },
        },
        {
          role: 'layerfile',
          name: 'search',
          measure: async (context) => {
            const { names, end } = readTimeline(context.fixture(fixture));
            const map = LayerMap.fromNames(names);
            const places = placesIn(names, end);
            const found = await context.time(() => countFound(map, places));
            check(found > SEARCHES / 2, true, 'layers are found');
            return { operations: SEARCHES };
          },
        },
      ],
    },
  ];
}

function readTimeline(path) {
  const { layer_metadata: layers, disk_consistent_lsn: lsn } = JSON.parse(
    readFileSync(path, 'utf8'),
  );
  return { names: Object.keys(layers), end: parseLsn(lsn) };
}

/** Start keys of some layers, each at an LSN from anywhere in the timeline. */
function placesIn(names, end) {
  const next = randomNumbers(3);
  return Array.from({ length: SEARCHES }, () => ({
    key: parseKey(names[next() % names.length].slice(0, 2 * KEY_SIZE)),
    end: (end * BigInt(next())) >> 32n,
  }));
}

function countFound(map, places) {
  let found = 0;
  for (const { key, end } of places) {
    if (map.search(key, end) !== undefined) found += 1;
  }
  return found;
}

const PARSE = `JSON.parse(require('node:fs').readFileSync(process.argv[1], 'utf8'));`;
