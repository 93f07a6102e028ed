import { NotAvailable } from '../harness/not-available.mjs';

/** The module; throws NotAvailable, with the reason, where it cannot be loaded. */
export async function loadPeer(name) {
  try {
    return await import(name);
  } catch (error) {
    throw peerMissing(name, error);
  }
}

export function peerMissing(name, error) {
  return new NotAvailable(`${name}: ${String(error.message).split('\n')[0]}`);
}
