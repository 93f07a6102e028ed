import { expect, test } from 'vitest';
import { isReadyReply } from '../../src/blob-writer/compression-thread.ts';

test('a thread of this version is ready', () => {
  expect(isReadyReply({ kind: 'ready', protocol: 1 })).toBe(true);
});

test.each([
  ['of an older version', { kind: 'ready', protocol: 0 }],
  ['of a newer version', { kind: 'ready', protocol: 2 }],
  ['without a version', { kind: 'ready' }],
  ['that says something else', { kind: 'compressed', protocol: 1 }],
  ['that says a word', 'ready'],
  ['that says null', null],
])('a compression thread %s is not taken', (_, message) => {
  expect(isReadyReply(message)).toBe(false);
});
