/** The ranges of integers of a fixed size. */
export const U8_MAXIMUM = 0xff;
export const U32_MAXIMUM = 0xffff_ffff;
export const U64_MAXIMUM = 0xffff_ffff_ffff_ffffn;
export const I64_MINIMUM = -0x8000_0000_0000_0000n;
export const I64_MAXIMUM = 0x7fff_ffff_ffff_ffffn;
