import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  findItem,
  itemCount,
  RELATION_DIRECTORY,
  withItem,
  withItems,
  withoutItems,
} from '../../../src/ingest/wal/directory-items.ts';
import { type Asking, Metadata } from '../../../src/ingest/wal/metadata.ts';
import { NO_FORK, NOT_KNOWN, RelationSizes } from '../../../src/ingest/wal/relation-sizes.ts';
import { formatKey } from '../../../src/layers/key.ts';
import { encodeValue } from '../../../src/layers/value-format.ts';
import {
  decodeRelationDirectory,
  encodeRelationDirectory,
} from '../../../src/postgres/directory-values.ts';
import { forkOfNumber } from '../../../src/postgres/fork.ts';
import { checkpointKey, relationSizeKey } from '../../../src/postgres/key-mapping.ts';
import { DATABASE, IngestedValues } from '../../support/ingested-values.ts';

describe('sizes of forks', () => {
  test('a size is the one that was set last, or not known any more', () => {
    const sizes = new RelationSizes(16);
    const model = new Map<number, number>();
    let forgotten = 0;
    let wrong = 0;
    for (let step = 0; step < 400; step += 1) {
      const relnode = 1 + ((step * 7919) % 40);
      sizes.set(1663, 5, relnode, 0, step);
      model.set(relnode, step);
      for (let other = 1; other <= 40; other += 1) {
        const found = sizes.get(1663, 5, other, 0);
        if (found === NOT_KNOWN) forgotten += 1;
        else if (found !== model.get(other)) wrong += 1;
      }
      expect(sizes.get(1663, 5, relnode, 0)).toBe(step);
    }
    expect(wrong).toBe(0);
    expect(forgotten).toBeGreaterThan(0);
  });

  test('the fork that was not used for the longest time is forgotten', () => {
    const sizes = new RelationSizes(8);
    for (let relnode = 1; relnode <= 8; relnode += 1) sizes.set(1663, 5, relnode, 0, relnode);
    for (const relnode of [1, 2, 3]) expect(sizes.get(1663, 5, relnode, 0)).toBe(relnode);
    sizes.set(1663, 5, 9, 0, 9);
    const known = [1, 2, 3, 4, 5, 9].map((relnode) => sizes.get(1663, 5, relnode, 0));
    expect(known).toEqual([1, 2, 3, NOT_KNOWN, 5, 9]);
  });

  test('forks differ in each of their four numbers', () => {
    const sizes = new RelationSizes();
    sizes.set(1, 2, 3, 0, 77);
    expect(sizes.get(1, 2, 3, 0)).toBe(77);
    const others: readonly [number, number, number, number][] = [
      [9, 2, 3, 0],
      [1, 9, 3, 0],
      [1, 2, 9, 0],
      [1, 2, 3, 1],
    ];
    expect(others.map((other) => sizes.get(...other))).toEqual(others.map(() => NOT_KNOWN));
  });

  test('a database is forgotten as a whole, and no other', () => {
    const sizes = new RelationSizes();
    sizes.set(1663, 5, 1, 0, 7);
    sizes.set(1663, 5, 2, 0, NO_FORK);
    sizes.set(1663, 6, 1, 0, 8);
    sizes.forgetDatabase(1663, 5);
    expect(
      [5, 5, 6].map((dbnode, index) => sizes.get(1663, dbnode, [1, 2, 1][index] ?? 0, 0)),
    ).toEqual([NOT_KNOWN, NOT_KNOWN, 8]);
  });
});

describe('values that are kept', () => {
  const keyOf = (relnode: number) => relationSizeKey({ ...DATABASE, relnode, fork: 'main' });

  /** Runs work whose questions are answered with one byte. Returns how many were asked. */
  function questions(work: Asking<unknown>, answer: number): number {
    let count = 0;
    for (let step = work.next(); step.done !== true; step = work.next(Uint8Array.of(answer))) {
      count += 1;
    }
    return count;
  }

  test('a value is read once, until too many others came after it', () => {
    const metadata = new Metadata(3 * 257);
    const asked = [1, 2, 3, 1, 4, 1, 2].map((relnode) =>
      questions(metadata.read(keyOf(relnode)), relnode),
    );
    // 4 takes the place of 2, since 1 was used after it.
    expect(asked).toEqual([1, 1, 1, 0, 1, 0, 1]);
  });

  test('what was put is found before and after the record ends', () => {
    const metadata = new Metadata();
    const values = new IngestedValues();
    questions(metadata.read(keyOf(1)), 1);
    metadata.put(keyOf(1), Uint8Array.of(2));
    metadata.put(keyOf(1), Uint8Array.of(3));
    const found = metadata.read(keyOf(1)).next();
    expect(found).toEqual({ done: true, value: Uint8Array.of(3) });
    metadata.commit(values, 8n);
    expect(values.puts.map(({ bytes }) => bytes)).toEqual([
      encodeValue({ type: 'image', bytes: Uint8Array.of(3) }),
    ]);
    expect(metadata.read(keyOf(1)).next()).toEqual({ done: true, value: Uint8Array.of(3) });
  });

  test('values below a key are put before the others, each once, and are still known to their record', () => {
    const values = new IngestedValues();
    const metadata = new Metadata();
    for (const relnode of [3, 1, 2]) metadata.put(keyOf(relnode), Uint8Array.of(relnode));
    metadata.commitBelow(keyOf(3), values, 8n);
    expect(values.puts.map(({ key }) => key)).toEqual([1, 2].map((one) => formatKey(keyOf(one))));
    for (const read of [metadata.read(keyOf(2)), metadata.readOnce(keyOf(2))]) {
      expect(read.next()).toEqual({ done: true, value: Uint8Array.of(2) });
    }
    metadata.put(keyOf(2), Uint8Array.of(9));
    expect(metadata.read(keyOf(2)).next()).toEqual({ done: true, value: Uint8Array.of(9) });
    metadata.commit(values, 8n);
    const put = values.puts.map(({ key, bytes }) => [key, bytes.at(-1)]);
    expect(put.slice(2)).toEqual([
      [formatKey(keyOf(3)), 3],
      [formatKey(keyOf(2)), 9],
    ]);
    // The next record asks the base.
    expect(questions(metadata.readOnce(keyOf(1)), 1)).toBe(1);
  });

  test('a value that is too large to be kept is read again', () => {
    const metadata = new Metadata(100);
    expect(questions(metadata.read(checkpointKey()), 1)).toBe(1);
    expect(questions(metadata.read(checkpointKey()), 1)).toBe(1);
  });
});

test('a directory in its stored form is the set of what was added and not removed', () => {
  const fork = fc.record({
    relnode: fc.integer({ min: 1, max: 9 }),
    fork: fc.integer({ max: 3, min: 0 }),
  });
  const steps = fc.array(fc.record({ remove: fc.boolean(), fork }), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (list) => {
      let directory = encodeRelationDirectory([]);
      const model = new Map<string, { relnode: number; fork: number }>();
      for (const { remove, fork: one } of list) {
        const item = Uint8Array.of(0, 0, 0, one.relnode, one.fork);
        const index = findItem(directory, RELATION_DIRECTORY, item);
        expect(index >= 0).toBe(model.has(`${one.relnode}.${one.fork}`));
        if (!remove) {
          directory = withItem(directory, RELATION_DIRECTORY, item);
          model.set(`${one.relnode}.${one.fork}`, one);
        } else if (index >= 0) {
          directory = withoutItems(directory, RELATION_DIRECTORY, new Set([index]));
          model.delete(`${one.relnode}.${one.fork}`);
        }
      }
      const expected = [...model.values()].map((one) => ({ ...one, fork: forkOfNumber(one.fork) }));
      expect(directory).toEqual(encodeRelationDirectory(expected));
      const none = encodeRelationDirectory([]);
      const items = [...model.values()].map(({ relnode, fork: number }) =>
        Uint8Array.of(0, 0, 0, relnode, number),
      );
      const half = items.length >>> 1;
      const first = withItems(none, RELATION_DIRECTORY, items.slice(half));
      expect(withItems(first, RELATION_DIRECTORY, items.slice(0, half))).toEqual(directory);
      expect(itemCount(directory, RELATION_DIRECTORY)).toBe(model.size);
      expect(RELATION_DIRECTORY.sorted(directory)).toEqual(directory);
      expect(decodeRelationDirectory(directory)).toHaveLength(model.size);
    }),
  );
});
