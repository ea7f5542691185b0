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

/** The hour that is running: its volume is partial. 24 once the day is over. */
export const runningHour = (progress: number): number => Math.min(24, Math.floor(progress * 24))

/**
 * Cumulative curves of the gas day.
 *
 * Quantiles of hours cannot be added, so the fan is not the sum of hourly bands: it opens with the
 * expected volume still to come and ends exactly at the band of the whole day
 * (`kpi.expected_day`), which the forecast made from joint draws.
 */
export function cumulativeCurves(overview: Overview): CumulativeCurves {
  const { hours } = overview.today
  const progress = Math.min(1, Math.max(0, overview.gas_day_progress))
  const now = progress * 24
  const running = runningHour(progress)

  const actual: CumulativePoint[] = [[0, 0]]
  let sum = 0
  for (let index = 0; index < 24; index += 1) {
    const value = hours[index]?.actual_m3 ?? null
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

  const fan = fanFromNow(overview.kpi.expected_day, actual, hours)
  return { actual, nominated, now, ...fan }
}

function fanFromNow(
  day: Band | null,
  actual: CumulativePoint[],
  hours: Overview['today']['hours'],
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

/** How far a source is ahead of (+) or behind (−) an even take of its nomination, m³. */
export function paceDeviation(nominated: number | null, taken: number | null, progress: number): number | null {
  return nominated === null || taken === null ? null : taken - nominated * progress
}

/** Whether a pace deviation is worth a colour: more than this part of what should have been taken. */
const PACE_BAND = 0.05

export function paceState(nominated: number | null, taken: number | null, progress: number): 'over' | 'under' | 'even' | null {
  const deviation = paceDeviation(nominated, taken, progress)
  if (deviation === null || nominated === null) return null
  const free = nominated * progress * PACE_BAND
  return deviation > free ? 'over' : deviation < -free ? 'under' : 'even'
}
