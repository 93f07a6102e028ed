import { describe, expect, it } from 'vitest';
import {
  CLUSTER_STATES,
  CONTROL_FILE_SIZE,
  decodeControlFile,
} from '../../src/postgres/control-file.ts';
import { controlFileBytes, seal } from '../support/control-file.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

/**
 * The first 296 bytes of a real pg_control: Postgres 17.5, initdb --data-checksums, shut down.
 * 0 system identifier, 8 control version, 12 catalog version, 16 state, 32 checkpoint, 40 redo,
 * 48 WAL timeline, 60 WAL level, 204 alignment, 208 float, 216 page size, 220 pages per segment,
 * 224 WAL page size, 228 WAL segment size, 252 checksum version, 256 nonce, 288 CRC-32C.
 */
const REAL_17 = `
  2a0093a31830036b a4060000 8979100c 0100000000000000 1b30036b00000000
  60356c0100000000 60356c0100000000 01000000 01000000 0100000001000000
  e202000000000000 e931000001000000 00000000 da020000 0100000001000000
  0100000000000000 1b30036b00000000 00000000 00000000 0000000000000000
  e803000000000000 0000000000000000 00000000 00000000 0000000000000000
  0000000000000000 0000000001000000 00000000 64000000 000000000a000000
  0000000040000000 0000000008000000 00000000 87d63241 0020000000000200
  0020000000000001 4000000020000000 cc070000 00080000 0000000001000000
  c305280d352f9f50 05df69abbff7a271 70e92bfb 72df938c dbbdd529273b2f63
  50f5432100000000`;

const REAL_17_DECODED = {
  systemIdentifier: 7_711_059_869_370_089_514n,
  controlVersion: 1700,
  catalogVersion: 202406281,
  majorVersion: 17,
  state: 'shut down',
  checkpointLsn: 0x16c_3560n,
  redoLsn: 0x16c_3560n,
  walTimeline: 1,
  minimumRecoveryLsn: 0n,
  pageSize: 8192,
  segmentPageCount: 131072,
  walPageSize: 8192,
  walSegmentSize: 16_777_216,
  checksumVersion: 1,
};

describe('a control file of Postgres', () => {
  it('17, written by the server itself', () => {
    expect(decodeControlFile(realFile())).toEqual(REAL_17_DECODED);
  });

  it.each([
    [14, 1300, 202107181],
    [15, 1300, 202209061],
    [16, 1300, 202307071],
    [17, 1700, 202406281],
  ])(
    'a control file of Postgres %i is told by its versions; everything else is where it is in 17',
    (major, control, catalog) => {
      const bytes = realFile();
      const view = new DataView(bytes.buffer);
      view.setUint32(8, control, true);
      view.setUint32(12, catalog, true);
      const versions = { controlVersion: control, catalogVersion: catalog, majorVersion: major };
      expect(decodeControlFile(seal(bytes))).toEqual({ ...REAL_17_DECODED, ...versions });
    },
  );

  it('each field of a control file is distinguished from its neighbours', () => {
    const bytes = controlFileBytes({ segmentPageCount: 16, pageSize: 4096, checkpointLsn: 1n });
    expect(decodeControlFile(bytes)).toMatchObject({
      checkpointLsn: 1n,
      redoLsn: 0xffff_ffff_ffff_fff1n,
      minimumRecoveryLsn: 0x55n,
      pageSize: 4096,
      segmentPageCount: 16,
    });
  });

  it.each(CLUSTER_STATES.map((state) => [state] as const))(
    'a control file has the state %s',
    (state) => {
      expect(decodeControlFile(controlFileBytes({ state })).state).toBe(state);
    },
  );

  it('a control file is read from a view that does not start at the start of its buffer', () => {
    const shifted = new Uint8Array(CONTROL_FILE_SIZE + 3);
    shifted.set(realFile(), 3);
    expect(decodeControlFile(shifted.subarray(3))).toEqual(REAL_17_DECODED);
  });
});

describe('a control file that is refused', () => {
  it.each([0, 8, 291])('a control file of %i bytes is truncated', (length) => {
    expect(storageErrorThrownBy(() => decodeControlFile(realFile().subarray(0, length))).code).toBe(
      'truncated',
    );
  });

  it('292 bytes are all that is used', () => {
    expect(decodeControlFile(realFile().subarray(0, 292))).toEqual(REAL_17_DECODED);
  });

  it.each([
    ['control version of 13 and its catalog', 1300, 202007201, 12],
    ['control version of 12', 1201, 201909212, 8],
    ['control version of 18', 1800, 202506291, 8],
    ['catalog of 16 under the control version of 17', 1700, 202307071, 12],
    ['catalog of a development version', 1700, 202406282, 12],
  ])('a control file with the %s is refused', (_, controlVersion, catalogVersion, offset) => {
    const bytes = controlFileBytes({ controlVersion, catalogVersion });
    const error = storageErrorThrownBy(() => decodeControlFile(bytes));
    expect([error.code, error.offset]).toEqual(['unsupported-version', offset]);
  });

  it('the control file of a big-endian machine is refused by name', () => {
    const bytes = realFile();
    new DataView(bytes.buffer).setUint32(8, 1700, false);
    const error = storageErrorThrownBy(() => decodeControlFile(bytes));
    expect(error.code).toBe('unsupported-version');
    expect(error.message).toContain('big-endian');
  });

  it('any bit that flips is noticed', () => {
    for (let offset = 0; offset < 292; offset += 1) {
      const bytes = realFile();
      bytes[offset] = (bytes[offset] ?? 0) ^ (1 << (offset % 8));
      const { code } = storageErrorThrownBy(() => decodeControlFile(bytes));
      const isVersion = offset >= 8 && offset < 16;
      expect([offset, code]).toEqual([offset, isVersion ? 'unsupported-version' : 'corrupt']);
    }
  });

  it.each([
    ['a state that does not exist', 16, 7],
    ['a float of another format', 208, 1],
    ['no pages in a segment', 220, 0],
  ])('a control file with %s is corrupt there, under a valid checksum', (_, offset, value) => {
    const bytes = realFile();
    new DataView(bytes.buffer).setUint32(offset, value, true);
    const error = storageErrorThrownBy(() => decodeControlFile(seal(bytes)));
    expect([error.code, error.offset]).toEqual(['corrupt', offset]);
  });
});

function realFile(): Uint8Array {
  const bytes = new Uint8Array(CONTROL_FILE_SIZE);
  bytes.set(Buffer.from(REAL_17.replaceAll(/\s/g, ''), 'hex'));
  return bytes;
}
