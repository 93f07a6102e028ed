/** Every byte of many layers, on one thread and on as many as there are processors. */
import { CLI, timeNode } from '../harness/processes.mjs';
import { IMAGE_LAYER_COUNT } from '../writers/images.mjs';

export function groupsOf({ scaled }) {
  const count = scaled(IMAGE_LAYER_COUNT);
  const fixture = `images-${count}`;
  const row = (role, name, more) => ({
    role,
    name,
    shortName: '-j 1',
    measure: async (context) => {
      const list = context.fixture(fixture);
      context.note(await timeNode([CLI, 'check', '--deep', '--files-from', list, ...more]));
      return { operations: count };
    },
  });
  return [
    {
      title: `check: --deep of ${count} image layers of Postgres-like pages`,
      fixtures: [fixture],
      rows: [
        row('floor', 'layerfile check --deep -j 1', ['-j', '1']),
        row('layerfile', 'layerfile check --deep', []),
      ],
    },
  ];
}
