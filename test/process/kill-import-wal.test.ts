/**
 * `import wal` that is killed with kill -9 at random times and resumed, each time with another checkpoint distance: what
 * the index says after a kill is there, and the L0s hold in the end what those of one run hold.
 *
 * A tenth of LAYERFILE_KILL_ROUNDS sets how many kills, since each takes a whole command; LAYERFILE_KILL_SEED which
 * moments are aimed at. It is the program that was built last; `npm test` and `npm run test:kill` build it first.
 */
import { existsSync, mkdirSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type Choose, seededChoices } from '../../src/testing/choices.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import {
  BASE_LSN,
  differences,
  entriesOf,
  lsnOfEntry,
  SK15_SEGMENT_NAME,
  SK15_TIMELINE,
  sk15Segment,
  WAL_END,
  writeSk15Base,
} from '../support/ingested-timelines.ts';
import { type Running, startNode } from '../support/programs.ts';
import { HAS_ALL_ROUNDS } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const KILLS = Math.ceil(
  Number(process.env['LAYERFILE_KILL_ROUNDS'] ?? (HAS_ALL_ROUNDS ? 30 : 20)) / 10,
);
const SEED = Number(process.env['LAYERFILE_KILL_SEED'] ?? Date.now() % 1_000_000);

/** Kills of one timeline, before the run that ends. */
const KILLS_OF_TIMELINE = 3;

const SLOWEST_LIFE_MS = 10_000;

/** Distances that make from 4 to 25 layers. */
const SHORTEST_DISTANCE = 60_000;
const DISTANCES = 340_000;

test(`import wal killed ${KILLS} times and resumed stores what one run stores`, {
  timeout: 60_000 + 6 * KILLS * SLOWEST_LIFE_MS,
}, async () => {
  const root = temporaryDirectory();
  const base = join(root, 'base');
  const wal = join(root, 'wal');
  await writeSk15Base(base);
  mkdirSync(wal);
  writeFileSync(join(wal, SK15_SEGMENT_NAME), sk15Segment());
  const start = (out: string, choose: Choose): Running => {
    const distance = String(SHORTEST_DISTANCE + choose(DISTANCES));
    const words = ['import', 'wal', '--base', base, '--wal', wal, '--out', out, '--resume'];
    return startNode([PROGRAM, ...words, '--end', '0/1600000', '--checkpoint-distance', distance]);
  };

  const once = join(root, 'once');
  const changes = watchChanges(once);
  await expectWhole(start(once, seededChoices(SEED)));
  changes.close();
  const expected = await storedIn(once);
  expect(expected).toMatchObject({ lastLsn: WAL_END });

  const total = { kills: 0, begun: 0, partial: 0, late: 0 };
  const isEnough = (): boolean => total.kills >= KILLS || total.kills + total.late >= 3 * KILLS;
  for (let number = 0; !isEnough(); number += 1) {
    const out = join(root, String(number));
    const choose = seededChoices(SEED * 1_000_000 + number);
    try {
      for (let life = 0; life < KILLS_OF_TIMELINE; life += 1) {
        const lastChange = choose(Math.ceil(changes.count / KILLS_OF_TIMELINE));
        const delayMs = choose(4);
        const killing = watchChanges(out, (count) => {
          if (count === lastChange) setTimeout(() => killed.child.kill('SIGKILL'), delayMs);
        });
        const killed = start(out, choose);
        const { signal } = await killed.ended;
        killing.close();
        total[signal === 'SIGKILL' ? 'kills' : 'late'] += 1;
        // As docs/durability.md asks at a start: the unfinished copy of a first index counts as one.
        await removeLeftovers(join(out, SK15_TIMELINE));
        const { lastLsn, entries } = await storedIn(out);
        const before = [...expected.entries].filter(([name]) => lsnOfEntry(name) <= lastLsn);
        expect(differences(entries, new Map(before))).toEqual([]);
        if (lastLsn > BASE_LSN) total.begun += 1;
        if (lastLsn > BASE_LSN && lastLsn < WAL_END) total.partial += 1;
      }
      await expectWhole(start(out, choose));
      const { lastLsn, entries } = await storedIn(out);
      expect(lastLsn).toBe(WAL_END);
      expect(differences(entries, expected.entries)).toEqual([]);
    } catch (error) {
      throw new Error(`timeline ${number} of seed ${SEED}`, { cause: error });
    }
  }
  console.info(
    `kill -9 of import wal: ${total.kills} kills (seed ${SEED}), ${total.late} runs ended before; ` +
      `the index had advanced at ${total.begun}, and not to the end at ${total.partial}`,
  );
  // Else the kills came at the wrong times, and the test shows nothing.
  expect(total.kills).toBeGreaterThan(KILLS / 4);
});

/** Counts changes in the directory of the timeline; `onChange` is given how many there were before. */
function watchChanges(out: string, onChange?: (count: number) => void) {
  const directory = join(out, SK15_TIMELINE);
  mkdirSync(directory, { recursive: true });
  const watched = { count: 0, close: (): void => watcher.close() };
  const watcher = watch(directory, () => {
    onChange?.(watched.count);
    watched.count += 1;
  });
  return watched;
}

async function expectWhole({ ended }: Running): Promise<void> {
  const { status, stderr } = await ended;
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
}

/** What the index names above the base; other files are leftovers. */
async function storedIn(out: string) {
  const timeline = join(out, SK15_TIMELINE);
  const path = join(timeline, 'index_part.json-00000001');
  if (!existsSync(path)) return { lastLsn: BASE_LSN, entries: new Map<string, string>() };
  const { layers, metadata } = IndexPart.parse(readFileSync(path)).fields;
  const paths: string[] = [];
  for (const name of layers.keys()) {
    const stored = join(timeline, `${name}-00000001`);
    expect(existsSync(stored)).toBe(true);
    const [, firstLsn] = /__([0-9A-F]{16})-[0-9A-F]{16}$/.exec(name) ?? [];
    if (firstLsn !== undefined && BigInt(`0x${firstLsn}`) > BASE_LSN) paths.push(stored);
  }
  return { lastLsn: metadata.diskConsistentLsn, entries: await entriesOf(paths) };
}
