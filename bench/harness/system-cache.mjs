/** The system's file cache, which must be empty for a cold measurement. */
import { writeFileSync } from 'node:fs';
import { NotAvailable } from './not-available.mjs';

/** Drops all that is clean; only the superuser of Linux may. */
export function dropSystemCache() {
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '1');
  } catch (error) {
    throw new NotAvailable(`the system's cache cannot be dropped (${error.code})`);
  }
}
