import type { Band, Overview } from '@/api/types'

/** A point of the cumulative curve: hours since the gas day began, m³ since then. */
export type CumulativePoint = [hours: number, m3: number]

export interface CumulativeCurves {
  actual: CumulativePoint[]
  /** From now to the end of the gas day; empty if there is no forecast. */
  p10: CumulativePoint[]
  p50: CumulativePoint[]
  p90: CumulativePoint[]
  nominated: CumulativePoint[]
  /** Hours since the gas day began. */
  now: number
}

/** An hour as one side of the network shows it. */
export interface SideHour {
  m3: number | null
  band: Band | null
  quality: string | null
  nominated_m3: number | null
}

/** The gas day at the gates, or, of a site without gates, at its customers' meters. */
export interface Side {
  key: 'bought' | 'used'
  day: Band | null
  hours: SideHour[]
}

/**
 * Which side the curves of the gas day are of. A nomination is of gas bought, so it is drawn beside what the
 * gates measured and nowhere else.
 */
export function sideOf(overview: Overview): Side {
  const { hours } = overview.today
  const { bought_day, expected_day, taken_m3 } = overview.kpi
  if (taken_m3 !== null || hours.some((hour) => hour.bought_m3 !== null)) {
    return {
      key: 'bought',
      day: bought_day,
      hours: hours.map((hour) => ({ m3: hour.bought_m3, band: hour.bought_band, quality: null, nominated_m3: hour.nominated_m3 })),
    }
  }
  return {
    key: 'used',
    day: expected_day,
    hours: hours.map((hour) => ({ m3: hour.actual_m3, band: hour.band, quality: hour.quality, nominated_m3: null })),
  }
}

/** The hour that is running: its volume is partial. 24 once the day is over. */
export const runningHour = (progress: number): number => Math.min(24, Math.floor(progress * 24))

/**
 * Cumulative curves of the gas day.
 *
 * Quantiles of hours cannot be added, so the fan is not the sum of hourly bands: it opens with the
 * expected volume still to come and ends exactly at the band of the whole day
 * (`kpi.bought_day`), which the forecast made from joint draws.
 */
export function cumulativeCurves(overview: Overview): CumulativeCurves {
  const { day, hours } = sideOf(overview)
  const progress = Math.min(1, Math.max(0, overview.gas_day_progress))
  const now = progress * 24
  const running = runningHour(progress)

  const actual: CumulativePoint[] = [[0, 0]]
  let sum = 0
  for (let index = 0; index < 24; index += 1) {
    const value = hours[index]?.m3 ?? null
    // A missing hour ends the curve: what follows would stand too low by an unknown amount.
    if (value === null || index > running) break
    sum += value
    actual.push([index < running ? index + 1 : now, sum])
  }

  const nominated: CumulativePoint[] = []
  let planned = 0
  for (let index = 0; index < 24; index += 1) {
    const value = hours[index]?.nominated_m3 ?? null
    if (value === null) break
    if (index === 0) nominated.push([0, 0])
    planned += value
    nominated.push([index + 1, planned])
  }

  const fan = fanFromNow(day, actual, hours)
  return { actual, nominated, now, ...fan }
}

function fanFromNow(
  day: Band | null,
  actual: CumulativePoint[],
  hours: SideHour[],
): Pick<CumulativeCurves, 'p10' | 'p50' | 'p90'> {
  const [start, taken] = actual[actual.length - 1] ?? [0, 0]
  const none = { p10: [], p50: [], p90: [] }
  if (day === null || start >= 24) return none
  const parts: CumulativePoint[] = []
  let expected = 0
  for (let index = Math.floor(start); index < 24; index += 1) {
    const p50 = hours[index]?.band?.p50_m3
    if (p50 === undefined) return none
    expected += p50 * (index + 1 - Math.max(index, start))
    parts.push([index + 1, expected])
  }
  if (expected <= 0) return none
  const line = (end: number): CumulativePoint[] => [
    [start, taken],
    // What was taken already is certain: no quantile of the day lies below it.
    ...parts.map(([hour, part]): CumulativePoint => [hour, taken + (part / expected) * Math.max(0, end - taken)]),
  ]
  return { p10: line(day.p10_m3), p50: line(day.p50_m3), p90: line(day.p90_m3) }
}

/** Whether a pace deviation is worth a colour: more than this part of what should have been taken. */
const PACE_BAND = 0.05

/** Ahead of or behind what was nominated for the hours that are in; the deviation is the server's. */
export function paceState(of: { due_m3: number | null; pace_m3: number | null }): 'over' | 'under' | 'even' | null {
  if (of.pace_m3 === null || of.due_m3 === null) return null
  const free = of.due_m3 * PACE_BAND
  return of.pace_m3 > free ? 'over' : of.pace_m3 < -free ? 'under' : 'even'
}
