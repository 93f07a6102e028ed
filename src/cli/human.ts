/** Numbers for people. */

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `512 B`, `1.5 MiB`: at most three significant digits. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let amount = bytes;
  let name = '';
  for (const unit of UNITS) {
    amount /= 1024;
    name = unit;
    if (amount < 1023.95) break;
  }
  return `${amount < 99.95 ? amount.toFixed(1) : amount.toFixed(0)} ${name}`;
}

/** `512 bytes`, `1.5 MiB (1,572,864 bytes)`. */
export function formatSize(bytes: number): string {
  const exact = formatNumberOf(bytes, 'byte', 'bytes');
  return bytes < 1024 ? exact : `${formatBytes(bytes)} (${exact})`;
}

/** `1,234,567`. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 entry`, `2 entries`. */
export function formatNumberOf(count: number, one: string, many: string): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** `0:07`, `12:05`, `3:02:01`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const parts = [Math.floor(seconds / 60) % 60, seconds % 60];
  if (seconds >= 3600) parts.unshift(Math.floor(seconds / 3600));
  return parts
    .map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, '0')))
    .join(':');
}
