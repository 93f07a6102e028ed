import { loadPeer } from './load-peer.mjs';

/** It syncs the file, not the directory. */
export async function loadWriteFileAtomic() {
  const { default: writeFileAtomic } = await loadPeer('write-file-atomic');
  return writeFileAtomic;
}
