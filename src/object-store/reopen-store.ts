/** Opens the store of another thread in this thread. */
import type { HttpStoreOptions } from './http-store.ts';
import type { ObjectStore, StoreSettings } from './object-store.ts';
import type { S3StoreOptions } from './s3-store.ts';

/**
 * Most threads only read files, so store modules are loaded on demand. Throws as the stores do: they check the options.
 */
export async function reopenStore({ kind, base, options }: StoreSettings): Promise<ObjectStore> {
  if (kind === 's3') {
    const { s3Store } = await import('./s3-store.ts');
    return s3Store(options as S3StoreOptions);
  }
  const { httpStore } = await import('./http-store.ts');
  return httpStore(base ?? '', options as HttpStoreOptions);
}
