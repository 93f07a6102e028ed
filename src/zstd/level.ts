/** The compression levels of libzstd, in a file of their own so that checking one does not load the library. */
export const MINIMUM_ZSTD_LEVEL = -7;
export const MAXIMUM_ZSTD_LEVEL = 22;

/** The level that 0 stands for. */
export const DEFAULT_ZSTD_LEVEL = 3;
