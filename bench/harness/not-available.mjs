/** What a row needs is not there: a gap in the table, with its reason, and no failure. */
export class NotAvailable extends Error {}
