/** pg_control, made by hand. */
import { crc32cOf } from '../../src/checksum.ts';
import { CLUSTER_STATES, type ClusterState } from '../../src/postgres/control-file.ts';
import { PAGE_SIZE } from '../../src/postgres/page.ts';

export interface ControlFields {
  readonly systemIdentifier?: bigint;
  readonly controlVersion?: number;
  readonly catalogVersion?: number;
  readonly state?: ClusterState;
  readonly checkpointLsn?: bigint;
  /** Default: 16 bytes before the checkpoint, unlike that of a shutdown. */
  readonly redoLsn?: bigint;
  readonly segmentPageCount?: number;
  readonly pageSize?: number;
  /** Default 0: pages carry no checksums. */
  readonly checksumVersion?: number;
}

/** A valid pg_control of Postgres 17 in the state "shut down", but for the given fields. */
export function controlFileBytes(fields: ControlFields = {}): Uint8Array {
  const bytes = new Uint8Array(8192);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, fields.systemIdentifier ?? 7_711_059_869_370_089_514n, true);
  view.setUint32(8, fields.controlVersion ?? 1700, true);
  view.setUint32(12, fields.catalogVersion ?? 202406281, true);
  view.setUint32(16, CLUSTER_STATES.indexOf(fields.state ?? 'shut down'), true);
  view.setBigUint64(32, fields.checkpointLsn ?? 0x16c_3560n, true);
  const redoLsn = fields.redoLsn ?? (fields.checkpointLsn ?? 0x16c_3560n) - 0x10n;
  view.setBigUint64(40, redoLsn, true);
  view.setUint32(48, 1, true);
  view.setBigUint64(136, 0x55n, true);
  view.setUint32(204, 8, true);
  view.setFloat64(208, 1234567, true);
  view.setUint32(216, fields.pageSize ?? PAGE_SIZE, true);
  view.setUint32(220, fields.segmentPageCount ?? 131072, true);
  view.setUint32(224, 8192, true);
  view.setUint32(228, 16_777_216, true);
  view.setUint32(252, fields.checksumVersion ?? 0, true);
  return seal(bytes);
}

/** Puts the right checksum into pg_control, after a change. */
export function seal(bytes: Uint8Array): Uint8Array {
  new DataView(bytes.buffer).setUint32(288, crc32cOf(bytes.subarray(0, 288)), true);
  return bytes;
}
