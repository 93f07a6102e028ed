/** Listings of any length are read up to a bound. */
import { expect, test } from 'vitest';
import type { ObjectStore } from '../../src/object-store/object-store.ts';
import { listFiles } from '../../src/timeline/list-files.ts';
import { surveyTimeline } from '../../src/timeline/survey.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

/** A store that lists and lists. */
class EndlessStore implements Pick<ObjectStore, 'name' | 'list'> {
  readonly name = 's3://endless';
  listed = 0;

  async *list(prefix: string) {
    yield { prefix: `${prefix}below/` };
    for (;;) {
      this.listed += 1;
      yield { key: `${prefix}${String(this.listed).padStart(9, '0')}`, size: 1 };
      if (this.listed > 1_000) throw new Error('nobody asks for more');
    }
  }
}

function endless(): { readonly store: ObjectStore; readonly listedCount: () => number } {
  const store = new EndlessStore();
  return { store: store as unknown as ObjectStore, listedCount: () => store.listed };
}

test('a listing without an end is too-large after the maximum', async () => {
  const { store, listedCount } = endless();
  const error = await storageErrorOf(listFiles(store, 'a/', { maximumFiles: 100 }));
  expect(error).toMatchObject({
    code: 'too-large',
    path: 's3://endless/a/',
    expected: 'at most 100 files',
  });
  expect(listedCount()).toBe(101);
});

test('a survey of a place without an end is too-large', async () => {
  const { store, listedCount } = endless();
  const location = { tenantId: undefined, shard: undefined, timelineId: undefined, prefix: 'a/' };
  const request = { store, directory: undefined, location, maximumFiles: 20 };
  expect(await storageErrorOf(surveyTimeline(request))).toMatchObject({ code: 'too-large' });
  expect(listedCount()).toBe(21);
});

test('as many files as the maximum are listed, without what lies deeper', async () => {
  const store = {
    name: 's3://short',
    async *list() {
      yield { key: 'a', size: 1 };
      yield { prefix: 'b/' };
      yield { key: 'c', size: 2 };
    },
  } as unknown as ObjectStore;
  const files = await listFiles(store, '', { maximumFiles: 2 });
  expect(files.map(({ key }) => key)).toEqual(['a', 'c']);
});
