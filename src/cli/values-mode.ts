/** What a dump prints of each value. Apart, because the definitions of commands need nothing else. */
export const VALUES_MODES = ['none', 'hex', 'sha256', 'json'] as const;
export type ValuesMode = (typeof VALUES_MODES)[number];
