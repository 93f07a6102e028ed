/** A requirement of a row is missing: a gap in the table, with its reason, not a failure. */
export class NotAvailable extends Error {}
