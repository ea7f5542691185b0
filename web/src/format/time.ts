import { MISSING } from './number'

/** Beijing time, whatever the zone of the computer the console runs on. */
const OFFSET_MS = 8 * 3_600_000

/** An instant moved so that its UTC fields read as Beijing time. */
function beijing(instant: string | number): Date | null {
  const at = typeof instant === 'number' ? instant : Date.parse(instant)
  return Number.isNaN(at) ? null : new Date(at + OFFSET_MS)
}

const two = (value: number): string => String(value).padStart(2, '0')

/** `08:00`. */
export function clock(instant: string | number | null): string {
  const at = instant === null ? null : beijing(instant)
  return at === null ? MISSING : `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`
}

/** `08:00:05`. */
export function clockSeconds(instant: string | number | null): string {
  const at = instant === null ? null : beijing(instant)
  return at === null ? MISSING : `${clock(instant)}:${two(at.getUTCSeconds())}`
}

/** `2026-11-21`. */
export function date(instant: string | number | null): string {
  const at = instant === null ? null : beijing(instant)
  return at === null ? MISSING : at.toISOString().slice(0, 10)
}

/** `11-21 08:00`. */
export function shortInstant(instant: string | number | null): string {
  return instant === null || beijing(instant) === null ? MISSING : `${date(instant).slice(5)} ${clock(instant)}`
}

/** `2026-11-21 08:00`. */
export function longInstant(instant: string | number | null): string {
  return instant === null || beijing(instant) === null ? MISSING : `${date(instant)} ${clock(instant)}`
}

/** `11-21` of a gas day. */
export const shortDay = (day: string): string => day.slice(5)

/** 0 is Sunday. */
export const weekday = (day: string): number => new Date(`${day}T00:00:00Z`).getUTCDay()

/** A gas day some days later. */
export function addDays(day: string, days: number): string {
  const at = new Date(`${day}T00:00:00Z`)
  at.setUTCDate(at.getUTCDate() + days)
  return at.toISOString().slice(0, 10)
}

/** Whole hours and minutes of a span; negative spans count as none. */
export function hoursAndMinutes(seconds: number): { h: number; m: number } {
  const minutes = Math.max(0, Math.floor(seconds / 60))
  return { h: Math.floor(minutes / 60), m: minutes % 60 }
}

/** Civil hours in the order of the gas day: 08, 09, … 07. */
export function gasDayHours(startHour: number): number[] {
  return Array.from({ length: 24 }, (_, index) => (startHour + index) % 24)
}

/** `08`, the label of an hour by its start. */
export const hourLabel = (hour: number): string => two(hour)
