import { expect, test } from 'vitest';
import { inTurn } from '../../src/virtual-file/turns.ts';
import { gate, idle, isPending } from '../support/gate.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

test('actions of one name have their turns in the order of the calls', async () => {
  const turn = { owner: {}, name: 'file' };
  const events: string[] = [];
  const act = (number: number) =>
    inTurn(turn, async () => {
      events.push(`${number} begins`);
      await idle();
      events.push(`${number} ends`);
      return number;
    });
  expect(await Promise.all([act(1), act(2), act(3)])).toEqual([1, 2, 3]);
  expect(events).toEqual([1, 2, 3].flatMap((number) => [`${number} begins`, `${number} ends`]));
});

test('other names, and other owners, do not wait', async () => {
  const { opened, open } = gate();
  const owner = {};
  const first = inTurn({ owner, name: 'file' }, () => opened);
  expect(await inTurn({ owner, name: 'other' }, async () => 'other')).toBe('other');
  expect(await inTurn({ owner: {}, name: 'file' }, async () => 'elsewhere')).toBe('elsewhere');
  open();
  await first;
});

test('a caller that stops waiting is rejected immediately, and does not let the next one in', async () => {
  const turn = { owner: {}, name: 'file' };
  const { opened, open } = gate();
  const { signal, abort } = abortable();
  const events: string[] = [];
  const first = inTurn(turn, async () => {
    await opened;
    events.push('first');
  });
  const second = storageErrorOf(inTurn({ ...turn, signal }, async () => events.push('second')));
  const third = inTurn(turn, async () => events.push('third'));
  abort();
  expect((await second).code).toBe('aborted');
  await idle();
  expect(events).toEqual([]);
  open();
  await Promise.all([first, third]);
  expect(events).toEqual(['first', 'third']);
});

test('callers that stop waiting, even too late, do not let the next one in', async () => {
  const turn = { owner: {}, name: 'file' };
  const { opened, open } = gate();
  const { signal, abort } = abortable();
  const first = inTurn(turn, () => opened);
  const givenUp = [1, 2].map(() => storageErrorOf(inTurn({ ...turn, signal }, idle)));
  abort();
  givenUp.push(storageErrorOf(inTurn({ ...turn, signal }, idle)));
  for (const { code } of await Promise.all(givenUp)) expect(code).toBe('aborted');
  const next = inTurn(turn, async () => 'next');
  await idle();
  expect(await isPending(next)).toBe(true);
  open();
  await first;
  expect(await next).toBe('next');
});

test('a caller that stops waiting before its turn leaves the name free', async () => {
  const turn = { owner: {}, name: 'file' };
  const { signal, abort } = abortable();
  abort();
  const givenUp = storageErrorOf(inTurn({ ...turn, signal }, idle));
  expect(await inTurn(turn, async () => 'next')).toBe('next');
  expect((await givenUp).code).toBe('aborted');
});

test('an action that fails ends its turn', async () => {
  const turn = { owner: {}, name: 'file' };
  const failing = inTurn(turn, () => Promise.reject(new Error('broken')));
  const next = inTurn(turn, async () => 'next');
  await expect(failing).rejects.toThrow('broken');
  expect(await next).toBe('next');
});

function abortable(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}
