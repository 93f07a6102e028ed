/** Opens in a thread the store that another thread has. */
import type { HttpStoreOptions } from './http-store.ts';
import type { ObjectStore, StoreSettings } from './object-store.ts';
import type { S3StoreOptions } from './s3-store.ts';

/** Most threads read files only: a store is loaded when it is needed. Throws as the stores, which check the options. */
export async function reopenStore({ kind, base, options }: StoreSettings): Promise<ObjectStore> {
  if (kind === 's3') {
    const { s3Store } = await import('./s3-store.ts');
    return s3Store(options as S3StoreOptions);
  }
  const { httpStore } = await import('./http-store.ts');
  return httpStore(base ?? '', options as HttpStoreOptions);
}
