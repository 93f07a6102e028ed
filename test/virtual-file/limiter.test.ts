import { describe, expect, test } from 'vitest';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { Limiter } from '../../src/virtual-file/limiter.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { type Gate, gate, idle } from '../support/gate.ts';

describe('a limiter', () => {
  test.each([1, 2, 5])(
    'a limiter of %i runs so many at once, in order of arrival',
    async (limit) => {
      const limiter = new Limiter(limit);
      const gates: Gate[] = Array.from({ length: 8 }, () => gate());
      const started: number[] = [];
      const runs = gates.map(({ opened }, n) =>
        limiter.run(async () => {
          started.push(n);
          await opened;
          return n * 10;
        }),
      );
      for (const [n, { open }] of gates.entries()) {
        await idle();
        expect(started).toEqual([...gates.keys()].slice(0, n + limit));
        open();
      }
      expect(await Promise.all(runs)).toEqual([0, 10, 20, 30, 40, 50, 60, 70]);
    },
  );

  test('a limiter passes the place of a failed operation to the next', async () => {
    const limiter = new Limiter(1);
    const failure = new Error('failed');
    const results = await Promise.allSettled([
      limiter.run(() => Promise.reject(failure)),
      limiter.run(() => {
        throw failure;
      }),
      limiter.run(async () => 'third'),
    ]);
    expect(results).toEqual([
      { status: 'rejected', reason: failure },
      { status: 'rejected', reason: failure },
      { status: 'fulfilled', value: 'third' },
    ]);
    expect(await limiter.run(async () => 'fourth')).toBe('fourth');
  });

  test('a limiter does not let a new caller overtake the next in line', async () => {
    const limiter = new Limiter(1);
    const order: string[] = [];
    const first = limiter.run(async () => order.push('first'));
    const second = limiter.run(async () => order.push('second'));
    const late = first.then(() => limiter.run(async () => order.push('late')));
    await Promise.all([first, second, late]);
    expect(order).toEqual(['first', 'second', 'late']);
  });
});

test('syncs of all tables leave one thread of the pool free', async () => {
  const poolSize = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
  let running = 0;
  let most = 0;
  const files: VirtualFile[] = [];
  for (let table = 0; table < 2; table += 1) {
    const fileSystem = new MemoryFileSystem({
      intercept: ({ kind }) => {
        if (!kind.startsWith('sync')) return undefined;
        running += 1;
        most = Math.max(most, running);
        return { delay: idle().then(() => (running -= 1)) };
      },
    });
    const openFiles = new OpenFiles({ fileSystem });
    for (let n = 0; n < poolSize + 2; n += 1) {
      files.push(await VirtualFile.open(`/${n}`, { write: true, create: true, openFiles }));
    }
  }
  await Promise.all(
    files.flatMap((file) => [file.sync(), file.syncData(), file.openFiles.syncDirectory('/')]),
  );
  expect(most).toBe(Math.max(1, poolSize - 1));
});
