import { expect, test } from 'vitest';
import { WaitingLine } from '../../src/virtual-file/waiting-line.ts';
import { isPending } from '../support/gate.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

function countingLine() {
  const line = new WaitingLine();
  const controller = new AbortController();
  let passedOn = 0;
  const passOn = (): void => {
    passedOn += 1;
  };
  return { line, controller, passOn, passedOn: () => passedOn };
}

test('an operation that stops waiting leaves the line and wakes no other', async () => {
  const { line, controller, passOn, passedOn } = countingLine();
  const first = line.wait(undefined, passOn);
  const second = line.wait(controller.signal, passOn);
  controller.abort();
  expect((await storageErrorOf(second)).code).toBe('aborted');
  expect(passedOn()).toBe(0);
  expect(await isPending(first)).toBe(true);
  expect(line.wakeNext()).toBe(true);
  await first;
  expect(line.wakeNext()).toBe(false);
});

test('a turn that comes together with the signal is passed on', async () => {
  const { line, controller, passOn, passedOn } = countingLine();
  const waiting = line.wait(controller.signal, passOn);
  controller.abort();
  expect(line.wakeNext()).toBe(true);
  expect((await storageErrorOf(waiting)).code).toBe('aborted');
  expect(passedOn()).toBe(1);
});
