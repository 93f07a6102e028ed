/** The state of a `RecordAssembler`. */

/**
 *   'searching'   for a valid page, at page borders: from the start on, or after a fault
 *   'returning'   to a record that was incomplete before
 *   'records'     at the start of a record, or at a page border
 *   'gathering'   a record crosses a page border: its bytes so far are together
 *   'skipping'    the rest of a record that began before the start
 *   'switched'    zeros up to the next segment
 *   'ended'       see `RecordAssembler.end`
 */
export type State =
  | 'searching'
  | 'returning'
  | 'records'
  | 'gathering'
  | 'skipping'
  | 'switched'
  | 'ended';

/** Whether to take another step, or return the batch or wait for a chunk. */
export type Progress = 'continue' | 'pause';
