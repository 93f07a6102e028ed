import { describe, expect, test } from 'vitest';
import { ZstdModule } from '../../src/zstd/module.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

/** More than the memory of a WebAssembly module can be. */
const TOO_MUCH = 0xf000_0000;

describe('memory of the zstd module', () => {
  test('a region grows in place of the one there was', async () => {
    const module = await ZstdModule.load();
    const region = module.allocate(1000);
    expect(module.grown(region, 1000)).toBe(region);
    const larger = module.grown(region, 100_000);
    expect(larger.size).toBeGreaterThanOrEqual(100_000);
    module.free(larger);
  });

  test('a region that cannot grow stays valid', async () => {
    const module = await ZstdModule.load();
    const region = module.allocate(1000);
    expect(storageErrorThrownBy(() => module.grown(region, TOO_MUCH)).code).toBe('io');
    const others = Array.from({ length: 10 }, () => module.allocate(1000));
    expect(others.map(({ ptr }) => ptr)).not.toContain(region.ptr);
    for (const one of [region, ...others]) module.free(one);
  });
});
