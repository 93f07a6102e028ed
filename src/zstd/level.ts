/**
 * The compression levels of libzstd, in a separate file so that checking a level does not load the library.
 */
export const MINIMUM_ZSTD_LEVEL = -7;
export const MAXIMUM_ZSTD_LEVEL = 22;

/** The level that libzstd uses for level 0. */
export const DEFAULT_ZSTD_LEVEL = 3;
