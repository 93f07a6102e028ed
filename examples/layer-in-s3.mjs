/**
 * Looks up one key of a layer in a bucket, and counts the requests.
 *
 *   AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... node examples/layer-in-s3.mjs BUCKET KEY HEX36
 *
 * Region, endpoint and credentials come from the environment or the shared files, as for AWS's own tools.
 */
import { openLayer, parseKey } from 'layerfile';
import { objectSource, s3Store } from 'layerfile/object-store';

const [bucket, key, hex] = process.argv.slice(2);
if (hex === undefined) throw new Error('usage: layer-in-s3.mjs BUCKET KEY HEX36');

let requests = 0;
const store = s3Store({
  bucket,
  fetch: (...request) => {
    requests += 1;
    return fetch(...request);
  },
});

const reader = await openLayer(await objectSource(store, key));
const entry = await reader.get(parseKey(hex));
console.log(entry === undefined ? 'not there' : `${entry.bytes.length} bytes at ${entry.offset}`);
console.log(`${requests} requests`);
await reader.close();
