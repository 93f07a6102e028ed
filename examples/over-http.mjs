/**
 * Reads one value of a layer on a web server, by range requests: a layer can be read from anything
 * that has a size and a positioned read.
 *
 *   node over-http.mjs URL KEY
 */
import { openLayer, parseKey } from 'layerfile';

const [url, key] = process.argv.slice(2);
let requests = 0;

async function fetchChecked(options) {
  requests += 1;
  const response = await fetch(url, { ...options, signal: AbortSignal.timeout(30_000) });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response;
}

const { headers } = await fetchChecked({ method: 'HEAD' });
const etag = headers.get('etag');
const source = {
  size: Number(headers.get('content-length')),
  path: url,
  async read(target, offset) {
    const end = Math.min(offset + target.length, this.size);
    if (offset >= end) return 0;
    const range = { Range: `bytes=${offset}-${end - 1}` };
    // The file must not change between two requests.
    const response = await fetchChecked({ headers: etag ? { ...range, 'If-Match': etag } : range });
    if (response.status !== 206) throw new Error(`${url}: the server ignores ranges`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes.length !== end - offset) throw new Error(`${url}: ${bytes.length} bytes came`);
    target.set(bytes);
    return bytes.length;
  },
};

const reader = await openLayer(source, { nameCheck: 'ignore' });
const entry = await reader.get(parseKey(key));
console.log(entry === undefined ? 'no such key' : Buffer.from(entry.bytes).toString('hex'));
console.log(`${requests} requests`);
