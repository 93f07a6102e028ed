import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { BufferedWriter } from '../../src/blob-writer/buffered-writer.ts';
import type {
  BufferedWriterOptions,
  WriterEnd,
} from '../../src/blob-writer/buffered-writer-options.ts';
import type { FaultAction, FileSystemOperation } from '../../src/testing/faults.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { type Gate, gate, idle, isPending, turns } from '../support/gate.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const NO_PADDING: WriterEnd = { kind: 'zero-pad', multiple: 1 };

/** Bytes that are different everywhere: 1, 2, ... 250, 1, ... */
function counted(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => ((from + index) % 250) + 1);
}

async function prepare(
  options: BufferedWriterOptions = {},
  answer?: (operation: FileSystemOperation) => FaultAction | undefined,
) {
  const operations: FileSystemOperation[] = [];
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem });
  const file = await VirtualFile.open('/file', {
    read: true,
    write: true,
    create: true,
    openFiles,
  });
  fileSystem.intercept = (operation) => {
    operations.push(operation);
    return answer?.(operation);
  };
  const writer = new BufferedWriter(file, options);
  const writes = (): string[] =>
    operations
      .filter(({ kind }) => kind === 'write')
      .map(({ offset, length }) => `${offset}+${length}`);
  const content = (): number[] => [...fileSystem.contentOf('/file')];
  return { fileSystem, file, writer, writes, content, operations };
}

describe('options', () => {
  test.each<[string, BufferedWriterOptions]>([
    ['no buffer size', { bufferSize: 0 }],
    ['a buffer size that is no number', { bufferSize: Number.NaN }],
    ['a broken buffer size', { bufferSize: 1.5 }],
    ['a buffer that no array can be', { bufferSize: 2 ** 40 }],
    ['one buffer', { bufferCount: 1 }],
    ['a negative start', { startOffset: -1 }],
    ['a start beyond 2^53', { startOffset: 2 ** 53 }],
    ['no bytes between syncs', { syncEvery: 0 }],
  ])('a writer with %s is refused as invalid-input', async (_, options) => {
    const { file } = await prepare();
    const error = storageErrorThrownBy(() => new BufferedWriter(file, options));
    expect(error.code).toBe('invalid-input');
  });

  test('the default is two buffers of 1 MiB', async () => {
    const { writer, writes } = await prepare();
    expect(writer.bufferSize).toBe(1024 * 1024);
    writer.append(new Uint8Array(1024 * 1024 - 1));
    await idle();
    expect(writes()).toEqual([]);
    writer.append(new Uint8Array(1024 * 1024));
    await writer.flushed();
    expect(writes()).toEqual(['0+1048576']);
    await writer.abandon();
  });
});

describe('where bytes go', () => {
  const lengths = [0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 100];
  test.each(lengths)(
    '%i bytes in one append over buffers of 8 are written in whole buffers and a rest',
    async (length) => {
      const { writer, content, writes } = await prepare({ bufferSize: 8 });
      await writer.append(counted(length));
      expect(writer.offset).toBe(length);
      expect(await writer.finish(NO_PADDING)).toBe(length);
      expect(content()).toEqual([...counted(length)]);
      const whole = Array.from({ length: Math.floor(length / 8) }, (_, index) => `${index * 8}+8`);
      const rest = length % 8 === 0 ? [] : [`${length - (length % 8)}+${length % 8}`];
      expect(writes()).toEqual([...whole, ...rest]);
    },
  );

  test.each(lengths)(
    '%i bytes in appends of one byte over buffers of 8 are written in whole buffers',
    async (length) => {
      const { writer, content, writes } = await prepare({ bufferSize: 8, startOffset: 3 });
      for (let index = 0; index < length; index += 1) {
        expect(writer.offset).toBe(3 + index);
        await writer.append(counted(1, index));
      }
      await writer.finish(NO_PADDING);
      expect(content().slice(3)).toEqual([...counted(length)]);
      const flushed = writes().filter((write) => write.endsWith('+8'));
      expect(flushed).toEqual(flushed.map((_, index) => `${3 + index * 8}+8`));
    },
  );

  test('unawaited appends stay in order, and have their offsets synchronously', async () => {
    const { writer, content } = await prepare({ bufferSize: 4 }, ({ kind }) =>
      kind === 'write' ? { delay: idle() } : undefined,
    );
    const offsets: number[] = [];
    let sum = 0;
    for (const length of [3, 9, 0, 1, 30, 2, 4, 0, 5]) {
      offsets.push(writer.offset);
      void writer.append(counted(length, sum));
      sum += length;
    }
    expect(offsets).toEqual([0, 3, 12, 12, 13, 43, 45, 49, 49]);
    expect(await writer.finish(NO_PADDING)).toBe(sum);
    expect(content()).toEqual([...counted(sum)]);
  });

  test('a buffer that fills in the very step in which a flush ends is written, too', async () => {
    for (let steps = 0; steps < 60; steps += 1) {
      const { writer, content } = await prepare({ bufferSize: 4 });
      writer.append(counted(4));
      await turns(steps);
      writer.append(counted(4, 4));
      expect(await writer.finish(NO_PADDING)).toBe(8);
      expect(content()).toEqual([...counted(8)]);
    }
  });

  test('short writes of the system are put together', async () => {
    const { writer, content } = await prepare({ bufferSize: 8 }, ({ kind }) =>
      kind === 'write' ? { limit: 3 } : undefined,
    );
    await writer.append(counted(50));
    await writer.finish(NO_PADDING);
    expect(content()).toEqual([...counted(50)]);
  });

  test('bytes may be changed once the append is done', async () => {
    const { writer, content } = await prepare({ bufferSize: 4 });
    const bytes = counted(10);
    await writer.append(bytes);
    bytes.fill(0);
    await writer.finish(NO_PADDING);
    expect(content()).toEqual([...counted(10)]);
  });

  test('the parts of a pair follow each other', async () => {
    const { writer, content } = await prepare({ bufferSize: 4 });
    for (const [first, second] of [
      [0, 0],
      [1, 2],
      [3, 0],
      [0, 9],
      [11, 1],
    ] as const) {
      const from = writer.offset;
      await writer.appendPair(counted(first, from), counted(second, from + first));
    }
    await writer.finish(NO_PADDING);
    expect(content()).toEqual([...counted(27)]);
  });
});

describe('backpressure', () => {
  test('appends return nothing while there is room, then a promise until there is some', async () => {
    const gates: Gate[] = [];
    const { writer, writes } = await prepare({ bufferSize: 4, bufferCount: 3 }, ({ kind }) => {
      if (kind !== 'write') return undefined;
      const next = gate();
      gates.push(next);
      return { delay: next.opened };
    });
    expect(writer.append(counted(4))).toBeUndefined();
    expect(writer.append(counted(4))).toBeUndefined();
    expect(writer.append(counted(4))).toBeUndefined();
    const waiting = writer.append(counted(1));
    expect(waiting).toBeInstanceOf(Promise);
    const behind = writer.append(counted(1)) ?? Promise.resolve();
    expect(await isPending(behind)).toBe(true);
    expect(writes()).toEqual(['0+4']);
    gates[0]?.open();
    await Promise.all([waiting, behind]);
    expect(writer.append(counted(1))).toBeUndefined();
    await idle();
    expect(writes()).toEqual(['0+4', '4+4']);
    for (let turn = 1; turn < 3; turn += 1) {
      gates[turn]?.open();
      await idle();
    }
    await writer.flushed();
    expect(writes()).toEqual(['0+4', '4+4', '8+4']);
    await writer.abandon();
  });

  test('one write is in flight at a time', async () => {
    let running = 0;
    let most = 0;
    const { writer } = await prepare({ bufferSize: 2, bufferCount: 5 }, ({ kind }) => {
      if (kind !== 'write') return undefined;
      running += 1;
      most = Math.max(most, running);
      return { delay: idle().then(() => (running -= 1)) };
    });
    await writer.append(counted(40));
    await writer.finish(NO_PADDING);
    expect(most).toBe(1);
  });

  test('appends that pile up beyond 64 MiB are too-large, and no part of a pair is appended', async () => {
    const { opened, open } = gate();
    const { writer } = await prepare({ bufferSize: 8 }, ({ kind }) =>
      kind === 'write' ? { delay: opened } : undefined,
    );
    const mib = 1024 * 1024;
    void writer.append(new Uint8Array(64 * mib + 17));
    const { offset } = writer;
    for (const act of [
      () => writer.append(new Uint8Array(1)),
      () => writer.appendPair(new Uint8Array(1), new Uint8Array(2)),
      () => writer.pad(4096),
    ]) {
      expect(storageErrorThrownBy(act).code).toBe('too-large');
      expect(writer.offset).toBe(offset);
    }
    expect(writer.claim(1)).toBe(-1);
    const abandoning = writer.abandon();
    open();
    await abandoning;
  });
});

describe('a claim', () => {
  test('a claim gives room in the buffer as long as the buffer does not fill', async () => {
    const { writer, content } = await prepare({ bufferSize: 8, startOffset: 2 });
    expect(writer.claim(3)).toBe(0);
    writer.buffer.bytes.set(counted(3), 0);
    expect(writer.claim(4)).toBe(3);
    writer.buffer.bytes.set(counted(4, 3), 3);
    expect(writer.offset).toBe(9);
    expect(writer.claim(1)).toBe(-1);
    expect(writer.claim(100)).toBe(-1);
    expect(writer.claim(0)).toBe(7);
    expect(writer.offset).toBe(9);
    await writer.append(counted(10, 7));
    const at = writer.claim(2);
    writer.buffer.bytes.set(counted(2, 17), at);
    await writer.finish(NO_PADDING);
    expect(content().slice(2)).toEqual([...counted(19)]);
  });

  test('a claim is refused while all buffers are full or appends wait', async () => {
    const { opened, open } = gate();
    const { writer, content } = await prepare({ bufferSize: 4 }, ({ kind }) =>
      kind === 'write' ? { delay: opened } : undefined,
    );
    writer.append(counted(8));
    expect(writer.claim(1)).toBe(-1);
    void writer.append(counted(1, 8));
    expect(writer.claim(1)).toBe(-1);
    open();
    await writer.flushed();
    expect(writer.claim(1)).toBe(1);
    writer.buffer.bytes[1] = 10;
    await writer.finish(NO_PADDING);
    expect(content()).toEqual([...counted(10)]);
  });

  test('a claim after the end is closed', async () => {
    const { writer } = await prepare();
    await writer.finish(NO_PADDING);
    expect(storageErrorThrownBy(() => writer.claim(1)).code).toBe('closed');
  });
});

describe('padding', () => {
  test.each([
    [0, 8, 0],
    [1, 8, 8],
    [7, 8, 8],
    [8, 8, 8],
    [9, 8, 16],
    [5, 1, 5],
    [5, 100, 100],
  ])('%i bytes padded to a multiple of %i become %i', async (length, multiple, padded) => {
    const { writer, content } = await prepare({ bufferSize: 16 });
    await writer.append(counted(length));
    await writer.pad(multiple);
    expect(writer.offset).toBe(padded);
    await writer.finish(NO_PADDING);
    expect(content()).toEqual([...counted(length), ...new Array(padded - length).fill(0)]);
  });

  test('padding counts from the start of the file', async () => {
    const { writer } = await prepare({ bufferSize: 16, startOffset: 5 });
    await writer.pad(8);
    expect(writer.offset).toBe(8);
    await writer.abandon();
  });

  test.each([0, -8, 1.5, Number.NaN, 2 ** 40])(
    'padding to a multiple of %d is invalid-input',
    async (multiple) => {
      const { writer } = await prepare();
      writer.append(counted(3));
      expect(storageErrorThrownBy(() => writer.pad(multiple)).code).toBe('invalid-input');
      for (const kind of ['zero-pad', 'pad-then-truncate'] as const) {
        const error = await storageErrorOf(writer.finish({ kind, multiple }));
        expect(error.code).toBe('invalid-input');
      }
      // Nothing has happened: the writer goes on.
      expect(await writer.finish(NO_PADDING)).toBe(3);
    },
  );
});

describe('the end', () => {
  const table: [string, number, WriterEnd, number, string[]][] = [
    ['nothing to pad', 0, { kind: 'zero-pad', multiple: 8 }, 0, []],
    ['padding', 5, { kind: 'zero-pad', multiple: 8 }, 8, ['0+8']],
    ['padding beyond the buffer', 5, { kind: 'zero-pad', multiple: 32 }, 32, ['0+32']],
    ['padding behind a full buffer', 16, { kind: 'zero-pad', multiple: 8 }, 16, ['0+16']],
    [
      'padding to more than a full buffer',
      16,
      { kind: 'zero-pad', multiple: 12 },
      24,
      ['0+16', '16+8'],
    ],
    ['no padding', 21, NO_PADDING, 21, ['0+16', '16+5']],
    ['an exact end', 21, { kind: 'exact' }, 21, ['0+16', '16+5']],
    ['an exact end and no tail', 32, { kind: 'exact' }, 32, ['0+16', '16+16']],
    ['an exact end and only a tail', 3, { kind: 'exact' }, 3, ['0+3']],
    [
      'padding that is then cut',
      21,
      { kind: 'pad-then-truncate', multiple: 8 },
      21,
      ['0+16', '16+8'],
    ],
    ['nothing to cut', 16, { kind: 'pad-then-truncate', multiple: 8 }, 16, ['0+16']],
  ];
  test.each(table)(
    'finishing with %s gives the size, bytes and writes of that end',
    async (_, length, end, size, expected) => {
      const { writer, content, writes, file } = await prepare({ bufferSize: 16 });
      await writer.append(counted(length));
      expect(await writer.finish(end)).toBe(size);
      expect(writes()).toEqual(expected);
      const padded = [...counted(length), ...new Array(Math.max(0, size - length)).fill(0)];
      expect(content()).toEqual(padded.slice(0, size));
      expect((await file.stat()).size).toBe(size);
    },
  );

  test('finishing by default leaves every byte that was appended, and none after them', async () => {
    const { writer, content } = await prepare({ bufferSize: 16 });
    await writer.append(counted(21));
    expect(await writer.finish()).toBe(21);
    expect(content()).toEqual([...counted(21)]);
  });

  test.each([{ kind: 'drop-tail' }, { kind: 'pad' }, {}, null, 'exact'])(
    'an end that does not exist, such as %j, is invalid-input, and the writer continues',
    async (end) => {
      const { writer, content } = await prepare({ bufferSize: 16 });
      await writer.append(counted(3));
      const error = await storageErrorOf(writer.finish(end as WriterEnd));
      expect(error).toMatchObject({ code: 'invalid-input' });
      await writer.append(counted(2, 3));
      expect(await writer.finish()).toBe(5);
      expect(content()).toEqual([...counted(5)]);
    },
  );

  test('finishing pads with zeros where the buffer held other bytes before', async () => {
    const { writer, content } = await prepare({ bufferSize: 4 });
    await writer.append(new Uint8Array(8).fill(9));
    await writer.append(counted(1));
    await writer.finish({ kind: 'zero-pad', multiple: 4 });
    expect(content().slice(8)).toEqual([1, 0, 0, 0]);
  });

  test('the head is written last, at the start of the file', async () => {
    const { writer, content, writes } = await prepare({ bufferSize: 4, startOffset: 8 });
    await writer.append(counted(6));
    const head = Uint8Array.of(101, 102, 103);
    expect(await writer.finish({ kind: 'zero-pad', multiple: 8 }, head)).toBe(16);
    expect(writes()).toEqual(['8+4', '12+4', '0+3']);
    expect(content()).toEqual([101, 102, 103, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0]);
  });

  test('a head that would cover appended bytes is invalid-input', async () => {
    const { writer } = await prepare({ startOffset: 2 });
    const error = await storageErrorOf(writer.finish(NO_PADDING, new Uint8Array(3)));
    expect(error.code).toBe('invalid-input');
    await writer.finish(NO_PADDING, new Uint8Array(2));
  });

  test('syncs nothing and leaves the file open', async () => {
    const { writer, operations, fileSystem } = await prepare({ bufferSize: 4 });
    await writer.append(counted(9));
    await writer.finish(NO_PADDING, new Uint8Array(0));
    expect(operations.some(({ kind }) => kind.startsWith('sync'))).toBe(false);
    expect(fileSystem.openPaths).toEqual(['/file']);
  });

  test('nothing is appended after finish is called, and waiting appends are included', async () => {
    const { opened, open } = gate();
    const { writer, content } = await prepare({ bufferSize: 4 }, ({ kind }) =>
      kind === 'write' ? { delay: opened } : undefined,
    );
    void writer.append(counted(30));
    const finishing = writer.finish(NO_PADDING);
    await idle();
    expect(storageErrorThrownBy(() => writer.append(counted(1))).code).toBe('closed');
    expect(storageErrorThrownBy(() => writer.claim(1)).code).toBe('closed');
    expect((await storageErrorOf(writer.finish(NO_PADDING))).code).toBe('closed');
    open();
    expect(await finishing).toBe(30);
    expect(content()).toEqual([...counted(30)]);
  });

  test.each(['finish', 'abandon'] as const)(
    'every call after %s is refused as closed',
    async (how) => {
      const { writer, writes } = await prepare({ bufferSize: 4 });
      await writer.append(counted(6));
      if (how === 'finish') await writer.finish(NO_PADDING);
      else await writer.abandon();
      const before = writes();
      for (const act of [
        () => writer.append(counted(1)),
        () => writer.append(new Uint8Array(0)),
        () => writer.appendPair(counted(1), counted(1)),
        () => writer.claim(1),
        () => writer.pad(100),
      ]) {
        const error = storageErrorThrownBy(act);
        expect(error).toMatchObject({ code: 'closed', path: '/file' });
        expect(error.message).toContain(how === 'finish' ? 'finished' : 'abandoned');
      }
      expect((await storageErrorOf(writer.finish(NO_PADDING))).code).toBe('closed');
      await writer.abandon();
      expect(writes()).toEqual(before);
    },
  );

  test('what was written can be read after it, the tail included', async () => {
    const { writer } = await prepare({ bufferSize: 4 });
    await writer.append(counted(10));
    await writer.finish(NO_PADDING);
    const target = new Uint8Array(10);
    await writer.readExactAt(target, 0);
    expect([...target]).toEqual([...counted(10)]);
  });
});

describe('giving up', () => {
  test('giving up waits for the write in flight and drops the rest', async () => {
    const { opened, open } = gate();
    const { writer, writes, content } = await prepare({ bufferSize: 4 }, ({ kind }) =>
      kind === 'write' ? { delay: opened } : undefined,
    );
    const waiting = storageErrorOf(writer.append(counted(20)) ?? Promise.resolve());
    const abandoning = writer.abandon();
    expect(await isPending(abandoning)).toBe(true);
    expect((await waiting).code).toBe('closed');
    open();
    await abandoning;
    await idle();
    expect(writes()).toEqual(['0+4']);
    expect(content()).toHaveLength(4);
    expect((await storageErrorOf(writer.flushed())).code).toBe('closed');
  });

  test.each([2, 4])(
    'giving up while the end is written (%i bytes) waits for that write, too',
    async (length) => {
      const { opened, open } = gate();
      const { writer, writes } = await prepare({ bufferSize: 4, startOffset: 4 }, ({ kind }) =>
        kind === 'write' ? { delay: opened } : undefined,
      );
      writer.append(counted(length));
      const finishing = storageErrorOf(writer.finish(NO_PADDING, counted(4)));
      await idle();
      const abandoning = writer.abandon();
      expect(await isPending(abandoning)).toBe(true);
      open();
      expect((await finishing).code).toBe('closed');
      await abandoning;
      await idle();
      expect(writes()).toEqual([`4+${length}`]);
    },
  );
});

describe('a failing write', () => {
  test('a failing write is the error of every later call, and nothing more is written', async () => {
    let writes = 0;
    const { writer } = await prepare({ bufferSize: 4 }, ({ kind }) => {
      if (kind !== 'write') return undefined;
      writes += 1;
      return writes === 2 ? { fail: 'ENOSPC' } : undefined;
    });
    const waiting = storageErrorOf(writer.append(counted(30)) ?? Promise.resolve());
    const unawaited = storageErrorOf(writer.append(counted(1)) ?? Promise.resolve());
    const first = await waiting;
    expect(first).toMatchObject({ code: 'io', errno: 'ENOSPC', path: '/file' });
    expect(await unawaited).toBe(first);
    for (const act of [
      () => writer.append(counted(1)),
      () => writer.appendPair(counted(1), counted(1)),
      () => writer.claim(1),
      () => writer.pad(100),
    ]) {
      expect(storageErrorThrownBy(act)).toBe(first);
    }
    expect(await storageErrorOf(writer.flushed())).toBe(first);
    expect(await storageErrorOf(writer.finish(NO_PADDING))).toBe(first);
    expect(await storageErrorOf(writer.readExactAt(new Uint8Array(1), 0))).toBe(first);
    await writer.abandon();
    expect(storageErrorThrownBy(() => writer.append(counted(1)))).toBe(first);
    expect(writes).toBe(2);
  });

  test('a failing write whose promise was dropped surfaces on the next call', async () => {
    const { writer } = await prepare({ bufferSize: 4 }, ({ kind }) =>
      kind === 'write' ? { fail: 'EIO' } : undefined,
    );
    expect(writer.append(counted(5))).toBeUndefined();
    await idle();
    expect(storageErrorThrownBy(() => writer.append(counted(1)))).toMatchObject({ errno: 'EIO' });
  });

  test.each<[string, string, WriterEnd]>([
    ['tail', 'write', NO_PADDING],
    ['cut', 'set-length', { kind: 'pad-then-truncate', multiple: 8 }],
  ])('a failing write of the %s makes finishing fail for good', async (_, at, end) => {
    const { writer } = await prepare({ bufferSize: 16 }, ({ kind }) =>
      kind === at ? { fail: 'EDQUOT' } : undefined,
    );
    writer.append(counted(3));
    const first = await storageErrorOf(writer.finish(end));
    expect(first).toMatchObject({ code: 'io', errno: 'EDQUOT' });
    expect(await storageErrorOf(writer.finish())).toBe(first);
  });

  test('a failing write of the head makes finishing fail for good', async () => {
    const { writer } = await prepare({ bufferSize: 16, startOffset: 4 }, ({ kind, offset }) =>
      kind === 'write' && offset === 0 ? { fail: 'EIO' } : undefined,
    );
    writer.append(counted(3));
    const first = await storageErrorOf(writer.finish(NO_PADDING, counted(4)));
    expect(first).toMatchObject({ code: 'io', errno: 'EIO' });
    expect(storageErrorThrownBy(() => writer.append(counted(1)))).toBe(first);
  });
});

describe('syncs on the way', () => {
  const syncsOf = (operations: readonly FileSystemOperation[]): number =>
    operations.filter(({ kind }) => kind === 'sync-data').length;

  test('syncs on the way happen after every N bytes written in complete buffers', async () => {
    const { writer, operations, content } = await prepare({ bufferSize: 4, syncEvery: 8 });
    for (const [at, syncs] of [0, 1, 1, 2, 2, 3].entries()) {
      await writer.append(counted(4, at * 4));
      await idle();
      expect(syncsOf(operations)).toBe(syncs);
    }
    await writer.finish(NO_PADDING);
    expect(content()).toEqual([...counted(24)]);
  });

  test('syncs on the way do not happen by default', async () => {
    const { writer, operations } = await prepare({ bufferSize: 4 });
    await writer.append(counted(40));
    await writer.finish(NO_PADDING);
    expect(operations.every(({ kind }) => kind === 'write')).toBe(true);
  });

  test('syncs on the way are one at a time, and hold up no write', async () => {
    const { opened, open } = gate();
    const { writer, operations, writes } = await prepare(
      { bufferSize: 4, syncEvery: 4 },
      ({ kind }) => (kind === 'sync-data' ? { delay: opened } : undefined),
    );
    await writer.append(counted(16));
    await writer.flushed();
    expect(writes()).toEqual(['0+4', '4+4', '8+4', '12+4']);
    expect(syncsOf(operations)).toBe(1);
    open();
    await idle();
    await writer.append(counted(4));
    await idle();
    expect(syncsOf(operations)).toBe(2);
    await writer.finish(NO_PADDING);
  });

  test('syncs on the way that fail are the error of every later write and sync, and of the end', async () => {
    const { writer, file, writes } = await prepare({ bufferSize: 4, syncEvery: 4 }, ({ kind }) =>
      kind === 'sync-data' ? { fail: 'EIO' } : undefined,
    );
    await writer.append(counted(4));
    await idle();
    await writer.append(counted(4));
    await idle();
    const code = 'sync-failed';
    expect(storageErrorThrownBy(() => writer.append(counted(1)))).toMatchObject({ code });
    expect(await storageErrorOf(writer.finish(NO_PADDING))).toMatchObject({ code });
    expect(await storageErrorOf(file.sync())).toMatchObject({ code, errno: 'EIO' });
    expect(writes()).toEqual(['0+4']);
  });

  test('background syncs that fail after the last write fail the sync at the end', async () => {
    const { opened, open } = gate();
    const { writer, file } = await prepare({ bufferSize: 4, syncEvery: 4 }, ({ kind }) =>
      kind === 'sync-data' ? { delay: opened, fail: 'EIO' } : undefined,
    );
    await writer.append(counted(4));
    await writer.finish(NO_PADDING);
    const synced = storageErrorOf(file.sync());
    open();
    expect(await synced).toMatchObject({ code: 'sync-failed', errno: 'EIO' });
  });

  test('syncs on the way are over once the writer is abandoned', async () => {
    const { opened, open } = gate();
    const { writer } = await prepare({ bufferSize: 4, syncEvery: 4 }, ({ kind }) =>
      kind === 'sync-data' ? { delay: opened } : undefined,
    );
    await writer.append(counted(4));
    await idle();
    const abandoned = writer.abandon();
    expect(await isPending(abandoned)).toBe(true);
    open();
    await abandoned;
  });
});

describe('reading back', () => {
  test('reading back returns written bytes, bytes in flight and buffered bytes together', async () => {
    const gates: Gate[] = [];
    const { writer } = await prepare(
      { bufferSize: 4, bufferCount: 3, startOffset: 2 },
      ({ kind }) => {
        if (kind !== 'write') return undefined;
        const next = gate();
        gates.push(next);
        return { delay: next.opened };
      },
    );
    await writer.append(counted(9));
    const check = async (): Promise<void> => {
      for (let start = 0; start <= 9; start += 1) {
        for (let end = start; end <= 9; end += 1) {
          const target = new Uint8Array(end - start);
          await writer.readExactAt(target, 2 + start);
          expect([...target]).toEqual([...counted(9).subarray(start, end)]);
        }
      }
    };
    await check();
    gates[0]?.open();
    await idle();
    await check();
    gates[1]?.open();
    await idle();
    await check();
    await writer.abandon();
  });

  test.each([
    ['before the start', 1, 1],
    ['across the start', 1, 3],
    ['beyond the end', 12, 1],
    ['across the end', 8, 5],
    ['at no number', Number.NaN, 1],
    ['at a broken number', 4.5, 1],
    ['beyond 2^53', 2 ** 60, 1],
  ])('reading back %s is out-of-range', async (_, offset, length) => {
    const { writer } = await prepare({ bufferSize: 4, startOffset: 2 });
    await writer.append(counted(10));
    const error = await storageErrorOf(writer.readExactAt(new Uint8Array(length), offset));
    expect(error).toMatchObject({ code: 'out-of-range', path: '/file' });
  });

  test('reading back of bytes that wait for a buffer is out-of-range; of no bytes it is fine', async () => {
    const { opened, open } = gate();
    const { writer } = await prepare({ bufferSize: 4 }, ({ kind }) =>
      kind === 'write' ? { delay: opened } : undefined,
    );
    const waiting = writer.append(counted(9));
    const target = new Uint8Array(8);
    await writer.readExactAt(target, 0);
    expect([...target]).toEqual([...counted(8)]);
    expect((await storageErrorOf(writer.readExactAt(target, 1))).code).toBe('out-of-range');
    await writer.readExactAt(new Uint8Array(0), 8);
    open();
    await waiting;
    await writer.readExactAt(target, 1);
    expect([...target]).toEqual([...counted(8, 1)]);
  });

  test('what was in memory at the call is right, whatever becomes of its buffer', async () => {
    const reads = gate();
    const { writer } = await prepare({ bufferSize: 4 }, ({ kind }) =>
      kind === 'read' ? { delay: reads.opened } : undefined,
    );
    await writer.append(counted(10));
    await writer.flushed();
    const target = new Uint8Array(10);
    const reading = writer.readExactAt(target, 0);
    await writer.append(new Uint8Array(20).fill(255));
    await writer.flushed();
    reads.open();
    await reading;
    expect([...target]).toEqual([...counted(10)]);
  });
});

describe('a signal', () => {
  const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

  test('a signal that fired before the call aborts synchronously, without a listener', async () => {
    const { file } = await prepare();
    const signal = AbortSignal.abort(new Error('enough'));
    const error = storageErrorThrownBy(() => new BufferedWriter(file, { signal }));
    expect(error).toMatchObject({ code: 'aborted', path: '/file', cause: signal.reason });
    expect(listeners(signal)).toBe(0);
  });

  test('a signal is not listened to after the end', async () => {
    for (const end of ['finish', 'abandon', 'fail', 'abort'] as const) {
      const controller = new AbortController();
      const { signal } = controller;
      const { writer } = await prepare({ bufferSize: 4, signal }, ({ kind }) =>
        kind === 'write' && end === 'fail' ? { fail: 'EIO' } : undefined,
      );
      expect(listeners(signal)).toBe(1);
      writer.append(counted(4));
      if (end === 'finish') await writer.finish(NO_PADDING);
      if (end === 'abandon') await writer.abandon();
      if (end === 'abort') controller.abort();
      await idle();
      expect(listeners(signal)).toBe(0);
      controller.abort();
      if (end === 'finish' || end === 'abandon') {
        expect(storageErrorThrownBy(() => writer.append(counted(1))).code).toBe('closed');
      }
    }
  });

  test('a signal ends every wait and refuses every later call', async () => {
    const controller = new AbortController();
    const { opened, open } = gate();
    const { writer, writes } = await prepare(
      { bufferSize: 4, signal: controller.signal },
      ({ kind }) => (kind === 'write' ? { delay: opened } : undefined),
    );
    const waits = [
      storageErrorOf(writer.append(counted(9)) ?? Promise.resolve()),
      storageErrorOf(writer.append(counted(9)) ?? Promise.resolve()),
      storageErrorOf(writer.flushed()),
      storageErrorOf(writer.finish(NO_PADDING)),
    ];
    await idle();
    controller.abort(new Error('enough'));
    const [first] = await Promise.all(waits.slice(0, 2));
    expect(first).toMatchObject({ code: 'aborted', path: '/file' });
    open();
    for (const error of await Promise.all(waits)) expect(error).toBe(first);
    expect(storageErrorThrownBy(() => writer.append(counted(1)))).toBe(first);
    expect(await storageErrorOf(writer.finish(NO_PADDING))).toBe(first);
    await writer.abandon();
    expect(writes()).toEqual(['0+4']);
  });

  test('a signal at any operation leaves no write after abandon has resolved', async () => {
    for (let at = 0; at < 9; at += 1) {
      const controller = new AbortController();
      let count = 0;
      const { writer, operations } = await prepare(
        { bufferSize: 4, startOffset: 4, signal: controller.signal },
        () => {
          if (count === at) controller.abort();
          count += 1;
          return undefined;
        },
      );
      const run = async (): Promise<number> => {
        await writer.append(counted(13));
        await writer.append(counted(3));
        return writer.finish({ kind: 'pad-then-truncate', multiple: 8 }, counted(4));
      };
      const aborted = await run().then(
        () => false,
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'aborted' });
          return true;
        },
      );
      expect(aborted).toBe(at < 7);
      await writer.abandon();
      const done = operations.length;
      await idle();
      expect(operations.length).toBe(done);
    }
  });
});
