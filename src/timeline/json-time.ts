/**
 * Times in the JSON files of a timeline: UTC, without a zone.
 *
 *   2024-07-19T09:00:00.123    the fraction is absent, or has 3, 6 or 9 digits, as few as possible
 *
 * Fractions of up to 9 digits are read.
 */

const TIME =
  /^(?<date>\d{4}-(?<month>\d\d)-(?<day>\d\d))T(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)(?:\.(?<fraction>\d{1,9}))?$/;

/** The time in canonical form; undefined if the text is not a time. */
export function normalizeJsonTime(text: string): string | undefined {
  const { date, month, day, hour, minute, second, fraction = '' } = TIME.exec(text)?.groups ?? {};
  if (date === undefined || Number(month) < 1 || Number(month) > 12) return undefined;
  const lastDay = new Date(Date.UTC(Number(date.slice(0, 4)), Number(month), 0)).getUTCDate();
  if (Number(day) < 1 || Number(day) > lastDay) return undefined;
  // A leap second is second 60.
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined;
  const digits = fraction.replace(/0+$/, '');
  const width = 3 * Math.ceil(digits.length / 3);
  const suffix = width === 0 ? '' : `.${digits.padEnd(width, '0')}`;
  return `${date}T${hour}:${minute}:${second}${suffix}`;
}
