import { describe, expect, test } from 'vitest';
import { BlobWriter, checkEncodedBlob } from '../../src/blob-writer/blob-writer.ts';
import { BufferedWriter } from '../../src/blob-writer/buffered-writer.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { bytesOf } from '../support/blobs.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

async function prepare(bufferSize = 4096, startOffset = 0) {
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem });
  const file = await VirtualFile.open('/blobs', { write: true, createNew: true, openFiles });
  const out = new BufferedWriter(file, { bufferSize, startOffset });
  const content = async (): Promise<string> => {
    await out.finish({ kind: 'zero-pad', multiple: 1 });
    return Buffer.from(fileSystem.contentOf('/blobs')).toString('hex');
  };
  return { writer: new BlobWriter(out), out, content };
}

/** One raw block with the five bytes `hello`. */
const HELLO_FRAME = Buffer.from(`28b52ffd0058290000${Buffer.from('hello').toString('hex')}`, 'hex');

describe('plain blobs', () => {
  test('plain blobs are stored back to back, each after its header', async () => {
    const { writer, content } = await prepare();
    const offsets: number[] = [];
    for (const bytes of [Uint8Array.of(), Uint8Array.of(0xaa), new Uint8Array(128).fill(0xbb)]) {
      offsets.push(writer.offset);
      await writer.append(bytes);
    }
    expect(offsets).toEqual([0, 1, 3]);
    expect(writer.offset).toBe(3 + 4 + 128);
    expect(await content()).toBe(`00${'01aa'}80000080${'bb'.repeat(128)}`);
  });

  test.each([0, 1, 126, 127, 128, 129, 8191, 8192, 8193])(
    'plain blobs of %i bytes are the same whatever the buffers are',
    async (length) => {
      const blob = bytesOf(length, 3);
      const contents = new Set<string>();
      const around = [length || 1, length + 1, length + 4, length + 5, 1e5];
      for (const bufferSize of length < 200 ? [1, 2, 3, 4, 5, ...around] : around) {
        const { writer, content } = await prepare(bufferSize);
        await writer.append(blob);
        await writer.append(Uint8Array.of(1));
        contents.add(await content());
      }
      expect(contents.size).toBe(1);
    },
  );

  test('plain blobs begin where the writer begins', async () => {
    const { writer, content } = await prepare(16, 5);
    expect(writer.offset).toBe(5);
    await writer.append(Uint8Array.of(0xcc));
    expect(await content()).toBe('000000000001cc');
  });

  test('plain blobs above 256 MiB are too-large, and the writer continues', async () => {
    const { writer, content } = await prepare();
    // Never touched, so no memory is used.
    const tooLong = new Uint8Array(0x1000_0000);
    expect(storageErrorThrownBy(() => writer.append(tooLong))).toMatchObject({
      code: 'too-large',
      actual: '268435456',
      expected: 'at most 268435455 bytes',
    });
    expect(writer.offset).toBe(0);
    await writer.append(Uint8Array.of(7));
    expect(await content()).toBe('0107');
  });

  test('plain blobs above 256 MiB are too-large even where the buffer would take them', async () => {
    const { writer } = await prepare(0x1000_0100);
    expect(storageErrorThrownBy(() => writer.append(new Uint8Array(0x1000_0000))).code).toBe(
      'too-large',
    );
    expect(writer.offset).toBe(0);
  });
});

describe('blobs that are encoded already', () => {
  test.each([
    ['empty', '00'],
    ['short', '03010203'],
    ['long', `80000080${'ab'.repeat(128)}`],
    ['short behind a long header', '80000001ff'],
    ['compressed', `9000000e${HELLO_FRAME.toString('hex')}`],
  ])('an encoded blob that is %s is taken as it is', async (_, encoded) => {
    const { writer, content } = await prepare();
    await writer.appendEncoded(Buffer.from(encoded, 'hex'));
    expect(writer.offset).toBe(encoded.length / 2);
    expect(await content()).toBe(encoded);
  });

  test.each([
    ['nothing', '', 'truncated', 0],
    ['half a header', '800000', 'truncated', 0],
    ['a header without its content', '05', 'truncated', 0],
    ['too little content', '05010203', 'truncated', 0],
    ['a blob followed by more bytes', '010203', 'corrupt', 0],
    ['an unknown compression', 'a000000101', 'corrupt', 0],
    ['a payload that is no frame', '9000000401020304', 'truncated', 4],
    ['a frame of another magic', '90000006010203040506', 'corrupt', 4],
    ['half a frame', '9000000928b52ffd0058290000', 'truncated', 10],
  ])(
    'appending %s as an encoded blob is refused, and nothing is written',
    async (_, encoded, code, offset) => {
      const { writer } = await prepare();
      const bytes = Buffer.from(encoded, 'hex');
      const error = storageErrorThrownBy(() => writer.appendEncoded(bytes));
      expect(error).toMatchObject({ code, offset });
      expect(storageErrorThrownBy(() => checkEncodedBlob(bytes)).message).toBe(error.message);
      expect(writer.offset).toBe(0);
    },
  );
});
