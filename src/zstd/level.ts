/** The compression levels of libzstd: apart, because arguments are checked before it is needed. */
export const MINIMUM_ZSTD_LEVEL = -7;
export const MAXIMUM_ZSTD_LEVEL = 22;

/** What level 0 stands for. */
export const DEFAULT_ZSTD_LEVEL = 3;
