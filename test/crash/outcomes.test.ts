/**
 * What a failed overwrite or finish says of the disk is right in every state that a crash may leave,
 * and says no less than could be known.
 */
import { describe, expect, test } from 'vitest';
import type { Outcome, StorageError } from '../../src/errors.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { everyChoice } from '../../src/testing/choices.ts';
import type { Intercept } from '../../src/testing/faults.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { blockKey, DIRECTORY, deltaOptions } from '../support/layers.ts';
import { LINK_UNSUPPORTED } from './scenario.ts';

interface Publishing {
  readonly path: string;
  readonly old: string | undefined;
  /** Does what comes before; returns what takes the name. */
  readonly begin: (openFiles: OpenFiles) => Promise<() => Promise<unknown>>;
}

const OLD = 'old content';
const NEW = 'new content';

const overwriting: Publishing = {
  path: `${DIRECTORY}/file`,
  old: OLD,
  begin: async (openFiles) => () => overwriteFile(`${DIRECTORY}/file`, NEW, { openFiles }),
};

const creating: Publishing = { ...overwriting, old: undefined };

const finishing: Publishing = {
  path: `${DIRECTORY}/${'000000067F00000005000040000000000000-000000067F00000005000040000000100000'}__0000000000001000-0000000000002000`,
  old: undefined,
  begin: async (openFiles) => {
    const fileSystem = new MemoryFileSystem();
    const writer = await DeltaLayerWriter.create(deltaOptions({ fileSystem, openFiles }));
    await writer.put(blockKey(1), 0x1000n, { type: 'image', bytes: new Uint8Array(100) });
    return () => writer.finish();
  },
};

/** Contents that the file may have after a crash now; all states are looked at. */
function contentsAfterCrash(fileSystem: MemoryFileSystem, path: string): Set<string> {
  const contents = new Set<string>();
  for (const choose of everyChoice()) {
    const crashed = fileSystem.crash(choose);
    const isThere = crashed.paths().includes(path);
    contents.add(isThere ? Buffer.from(crashed.contentOf(path)).toString('latin1') : 'nothing');
  }
  return contents;
}

interface Failure {
  readonly operation: string;
  /** Nothing where the operation went on in another way. */
  readonly error: StorageError | undefined;
  readonly contents: Set<string>;
}

/** Every call of the file system fails in turn, with the system's other answers as given. */
async function failures(publishing: Publishing, answers?: Intercept): Promise<Failure[]> {
  const found: Failure[] = [];
  for (let index = 0; ; index += 1) {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createDirectory(DIRECTORY);
    const { path, old, begin } = publishing;
    if (old !== undefined) fileSystem.createFile(path, Buffer.from(old));
    const publish = await begin(new OpenFiles({ fileSystem }));
    let failed: string | undefined;
    const first = fileSystem.operationCount;
    fileSystem.intercept = (operation) => {
      if (operation.index !== first + index) return answers?.(operation);
      failed = operation.kind;
      return { fail: 'EIO' };
    };
    const error: StorageError | undefined = await publish().then(
      () => undefined,
      (reason) => reason,
    );
    if (failed === undefined) return found;
    found.push({ operation: failed, error, contents: contentsAfterCrash(fileSystem, path) });
  }
}

describe.each<[string, Publishing, Intercept | undefined, string[]]>([
  // The search for what others have left, and the look at a name that a link may have taken.
  ['an overwrite', overwriting, undefined, ['read-directory']],
  ['an overwrite of nothing', creating, undefined, ['read-directory']],
  ['finishing a layer', finishing, undefined, []],
  ['finishing a layer where there are no links', finishing, LINK_UNSUPPORTED, ['stat']],
])('of %s', (_, publishing, answers, tolerated) => {
  test('every failure states what is on disk', async () => {
    const { path, old = 'nothing' } = publishing;
    const whole = new MemoryFileSystem();
    whole.createDirectory(DIRECTORY);
    const publish = await publishing.begin(new OpenFiles({ fileSystem: whole }));
    await publish();
    const content = Buffer.from(whole.contentOf(path)).toString('latin1');

    const outcomes = new Map<Outcome | undefined, Set<string>>();
    const passedOver = new Set<string>();
    for (const { operation, error, contents } of await failures(publishing, answers)) {
      if (error === undefined) {
        expect([...contents], operation).toEqual([content]);
        passedOver.add(operation);
        continue;
      }
      const expected: Record<Outcome, string[]> = {
        'not-applied': [old],
        'in-doubt': [content, old],
        durable: [content],
      };
      const { outcome } = error;
      expect(outcome, operation).toBeDefined();
      const allowed = outcome === undefined ? [] : expected[outcome];
      expect([...contents].sort(), operation).toEqual(allowed.sort());
      outcomes.set(outcome, (outcomes.get(outcome) ?? new Set()).add(operation));
    }
    expect([...passedOver]).toEqual(tolerated);
    expect([...(outcomes.get('in-doubt') ?? [])]).toEqual(['sync-directory']);
    expect(outcomes.get('durable')?.has('close')).toBe(true);
    expect(outcomes.get('not-applied')?.has('sync')).toBe(true);
    expect(outcomes.has(undefined)).toBe(false);
  });
});
