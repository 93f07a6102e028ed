/**
 * Times as Postgres prints them, in UTC. Stored: i64 microseconds since 2000-01-01; the lowest and the highest value
 * are -infinity and infinity.
 *
 *   walinspect   2026-11-29 06:04:07.4245+00          of pg_walinspect, a timestamptz; no fraction if it is 0
 *   waldump      2026-11-29 06:02:59.719198 UTC       of pg_waldump, always with 6 digits
 */
import { I64_MAXIMUM, I64_MINIMUM } from '../../integers.ts';
import type { PostgresTime } from '../main-data/main-data.ts';

/** The program whose time format is used. */
export type TimeStyle = 'walinspect' | 'waldump';

/** All styles. */
export const TIME_STYLES: readonly TimeStyle[] = ['walinspect', 'waldump'];

/** Formats a time. Returns one line for any value. */
export function formatPostgresTime(time: PostgresTime, style: TimeStyle): string {
  if (time === I64_MAXIMUM) return 'infinity';
  if (time === I64_MINIMUM) return '-infinity';
  let days = time / MICROSECONDS_PER_DAY;
  let rest = Number(time % MICROSECONDS_PER_DAY);
  if (rest < 0) {
    rest += Number(MICROSECONDS_PER_DAY);
    days -= 1n;
  }
  const { date, era } = formatDate(Number(days) + DAYS_TO_2000);
  const seconds = Math.floor(rest / 1e6);
  const text = `${date} ${twoDigits(Math.floor(seconds / 3600))}:${twoDigits(Math.floor(seconds / 60) % 60)}:${twoDigits(seconds % 60)}`;
  const fraction = String(rest % 1e6).padStart(6, '0');
  if (style === 'waldump') return `${text}.${fraction} UTC`;
  return `${text}${rest % 1e6 === 0 ? '' : `.${fraction.replace(/0+$/, '')}`}+00${era}`;
}

const MICROSECONDS_PER_DAY = 86_400_000_000n;
/** From 1970 on. */
const DAYS_TO_2000 = 10_957;
/** From 0000-03-01, where the leap day is the last of a year, to 1970. */
const DAYS_TO_1970 = 719_468;
const DAYS_PER_ERA = 146_097;

interface DateText {
  readonly date: string;
  readonly era: string;
}

let lastDay = Number.NaN;
let lastDate: DateText = { date: '', era: '' };

/** Records close to each other in the WAL usually have the same day. */
function formatDate(day: number): DateText {
  if (day !== lastDay) {
    lastDate = civilDate(day);
    lastDay = day;
  }
  return lastDate;
}

/** The date of the Gregorian calendar, for any year; a Date ends at 275,760. */
function civilDate(day: number): DateText {
  const shifted = day + DAYS_TO_1970;
  const era = Math.floor(shifted / DAYS_PER_ERA);
  const dayOfEra = shifted - era * DAYS_PER_ERA;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const dayOfMonth = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const shownYear = year > 0 ? year : 1 - year;
  return {
    date: `${String(shownYear).padStart(4, '0')}-${twoDigits(month)}-${twoDigits(dayOfMonth)}`,
    era: year > 0 ? '' : ' BC',
  };
}

function twoDigits(value: number): string {
  return value < 10 ? `0${value}` : `${value}`;
}
