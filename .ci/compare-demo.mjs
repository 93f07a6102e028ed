// Whether the demo has printed what the README shows of it. LSNs and the numbers of relations may differ.
import { readFileSync } from 'node:fs';

const [readme, demo] = process.argv.slice(2).map((path) => readFileSync(path, 'utf8'));
const [, shown] = /<!-- the demo's timeline -->\n```\n([\s\S]*?)```/.exec(readme) ?? [];
const plain = (text) =>
  text
    .replace(/^ +/gm, '')
    .replace(/[0-9A-F]{36}|[0-9A-F]{16}|\b\d+\/[0-9A-F]+\b|\b\d{5}\b/g, '#')
    .replace(/ +/g, ' ');
if (shown === undefined || !plain(demo).includes(plain(shown))) {
  console.error(`the demo does not print what ${process.argv[2]} shows:\n${shown}`);
  process.exitCode = 1;
}
