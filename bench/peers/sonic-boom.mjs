import { once } from 'node:events';
import { promisify } from 'node:util';
import { loadPeer } from './load-peer.mjs';

/** Appends bytes without headers; `flush` syncs. */
export async function appendWithSonicBoom(path, pool, count) {
  const { default: SonicBoom } = await loadPeer('sonic-boom');
  const stream = new SonicBoom({
    dest: path,
    contentMode: 'buffer',
    minLength: 512 * 1024,
    maxWrite: 1024 * 1024,
  });
  await once(stream, 'ready');
  for (let index = 0; index < count; index += 1) {
    if (!stream.write(pool.at(index))) await once(stream, 'drain');
  }
  await promisify(stream.flush.bind(stream))();
  stream.end();
  await once(stream, 'close');
}
