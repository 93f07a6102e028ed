/**
 * Readers over an ephemeral layer while it is written: what they get must be in a model, wherever
 * the bytes are at that moment: in the file, on the way there, or in the tail.
 */
import { expect, test } from 'vitest';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { decodeValue, encodeValue } from '../../src/layers/value-format.ts';
import { type Choose, seededChoices } from '../../src/testing/choices.ts';
import type { FileSystem, OpenFile } from '../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { delegatingFile } from '../support/delegating-file.ts';
import { blockKey, IDS, noise } from '../support/layers.ts';
import { rounds } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const PUTS = Number(process.env['LAYERFILE_EPHEMERAL_PUTS'] ?? rounds(1000));
const SEED = Number(process.env['LAYERFILE_EPHEMERAL_SEED'] ?? Date.now() % 1_000_000);
const READERS = 8;
const KEYS = 40;

/** Reads of each place that a version may be in. Puts go on until there are that many. */
const LEAST_READS = PUTS / 50;
const MOST_PUTS = 10 * PUTS;
const BUFFER_SIZE = 2048;
const START_LSN = 0x1000n;

interface Version {
  readonly lsn: bigint;
  readonly bytes: Uint8Array;
  /** Where its first byte is in the scratch file. */
  readonly position: number;
  /** Its put has returned or resolved: every reader must see it. */
  settled: boolean;
}

type Place = 'flushed' | 'in flight' | 'tail';

test(`8 readers concurrent with ${PUTS} puts with random delays see what a model holds`, {
  timeout: 300_000 + PUTS * 20,
}, async () => {
  const choose = seededChoices(SEED);
  const writes = { started: 0, finished: 0 };
  const openFiles = new OpenFiles({ capacity: 1, fileSystem: delayed(choose, writes) });
  await using layer = await EphemeralLayer.create({
    directory: temporaryDirectory(),
    ...IDS,
    startLsn: START_LSN,
    openFiles,
    bufferSize: BUFFER_SIZE,
  });
  const model: Version[][] = Array.from({ length: KEYS }, () => []);
  const readsOf: Record<Place, number> = { flushed: 0, 'in flight': 0, tail: 0 };
  let lsn = START_LSN;
  let writing = true;

  const put = (): Promise<void> | undefined => {
    const block = choose(KEYS);
    lsn += BigInt(1 + choose(3));
    const bytes = noise(choose(8) === 0 ? choose(6000) : choose(200), Number(lsn));
    const version: Version = { lsn, bytes, position: layer.size, settled: false };
    model[block]?.push(version);
    const buffered = layer.putSerialized(
      blockKey(block),
      lsn,
      encodeValue({ type: 'image', bytes }),
      true,
    );
    if (buffered === undefined) version.settled = true;
    else {
      return buffered.then(() => {
        version.settled = true;
      });
    }
  };

  const write = async (): Promise<void> => {
    let waiting: Promise<void>[] = [];
    const isEnough = (): boolean => Object.values(readsOf).every((count) => count > LEAST_READS);
    for (let count = 0; count < PUTS || (!isEnough() && count < MOST_PUTS); count += 1) {
      const buffered = put();
      if (buffered !== undefined) waiting.push(buffered);
      // Sometimes several wait at the same time, sometimes everything is on its way before the next put.
      if (waiting.length > choose(4)) {
        await Promise.all(waiting);
        waiting = [];
      }
      if (choose(4) === 0) await delay(choose);
    }
    await Promise.all(waiting);
    writing = false;
  };

  const placeOf = (version: Version): Place => {
    if (version.position + version.bytes.length <= writes.finished) return 'flushed';
    return version.position < writes.started ? 'in flight' : 'tail';
  };

  const read = async (reader: number): Promise<void> => {
    const chooseRead = seededChoices(SEED + 1 + reader);
    while (writing) {
      const block = chooseRead(KEYS);
      const versions = model[block] ?? [];
      const isRecent = chooseRead(2) === 0;
      const at = isRecent ? lsn - BigInt(chooseRead(60)) : START_LSN + BigInt(chooseRead(PUTS * 2));
      const candidates = versions.filter((version) => version.lsn <= at);
      const oldestAllowed = candidates.findLastIndex((version) => version.settled);
      const allowed = candidates.slice(Math.max(0, oldestAllowed));
      const newest = allowed.at(-1);
      if (newest !== undefined) readsOf[placeOf(newest)] += 1;
      const entry = at < 0n ? undefined : await layer.get(blockKey(block), at);
      if (entry === undefined) expect(oldestAllowed).toBe(-1);
      else {
        const version = allowed.find((one) => one.lsn === entry.lsn);
        const value = decodeValue(entry.bytes);
        expect(version).toBeDefined();
        expect(value.type).toBe('image');
        if (value.type !== 'image') return;
        expect(Buffer.compare(value.bytes, version?.bytes ?? new Uint8Array(0))).toBe(0);
      }
      if (chooseRead(3) === 0) await delay(chooseRead);
    }
  };

  try {
    await Promise.all([write(), ...Array.from({ length: READERS }, (_, reader) => read(reader))]);
  } catch (error) {
    throw new Error(`seed ${SEED}`, { cause: error });
  }
  console.info(`reads beside ${PUTS} puts (seed ${SEED}): ${JSON.stringify(readsOf)}`);
  for (const count of Object.values(readsOf)) expect(count).toBeGreaterThan(LEAST_READS);
  await layer.freeze(lsn + 1n);
  for (const [block, versions] of model.entries()) {
    const stored: bigint[] = [];
    for await (const entry of layer.versions(blockKey(block))) stored.push(entry.lsn);
    expect(stored).toEqual(versions.map((version) => version.lsn).reverse());
  }
});

/** Writes in pieces, late; reads late, too. Notes how far the file is written. */
function delayed(choose: Choose, writes: { started: number; finished: number }): FileSystem {
  return {
    ...nodeFileSystem,
    async open(path, options): Promise<OpenFile> {
      const file = await nodeFileSystem.open(path, options);
      return delegatingFile(file, {
        async read(target, offset) {
          if (choose(4) === 0) await delay(choose);
          return file.read(target.subarray(0, 1 + choose(target.length)), offset);
        },
        async write(source, offset) {
          writes.started = Math.max(writes.started, offset + source.length);
          await delay(choose);
          const limit = choose(2) === 0 ? source.length : 1 + choose(source.length);
          const length = await file.write(source.subarray(0, limit), offset);
          writes.finished = Math.max(writes.finished, offset + length);
          return length;
        },
      });
    },
  };
}

async function delay(choose: Choose): Promise<void> {
  const ms = choose(4);
  if (ms === 0) return new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setTimeout(resolve, ms - 1));
}
