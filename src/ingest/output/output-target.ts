/** Where an output goes: a directory, or a prefix of an object store. */
import { checkObject, checkText } from '../../check-options.ts';
import { directoryStore } from '../../object-store/directory-store.ts';
import { checkedStore } from '../../object-store/foreign-store.ts';
import type { ObjectStore } from '../../object-store/object-store.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';

/** A directory, or a prefix of an object store; `tenants/` is below it. */
export type OutputTarget =
  | string
  | { readonly store: ObjectStore; readonly prefix?: string | undefined };

/** A store, and the prefix of all keys: empty, or with a slash at its end. */
export interface OutputPlace {
  readonly store: ObjectStore;
  readonly prefix: string;
}

/** Throws `invalid-input` for anything that is not a target. */
export function placeOfTarget(target: OutputTarget, openFiles: OpenFiles): OutputPlace {
  if (typeof target === 'string') {
    return { store: directoryStore(target, { openFiles }), prefix: '' };
  }
  checkObject('target', target);
  const store = checkedStore(target.store);
  const { prefix = '' } = target;
  checkText('prefix', prefix);
  return {
    store,
    prefix: prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`,
  };
}
