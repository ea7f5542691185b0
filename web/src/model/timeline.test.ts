import { expect, test } from 'vitest'
import { originPosition, timeline } from './timeline'

const hour = (at: number) => new Date(1_763_683_200_000 + at * 3_600_000).toISOString()
const band = { p10_m3: 1, p50_m3: 2, p90_m3: 3 }
const past = (at: number, actual_m3: number) => ({ at: hour(at), gas_day: '2026-11-21', civil_hour: at, actual_m3 })
const ahead = (at: number, actual_m3: number | null = null) => ({ at: hour(at), gas_day: '2026-11-21', civil_hour: at, band, naive_m3: null, actual_m3 })

test('hours that history and forecast share stand on the axis once', () => {
  const moments = timeline({ history: [past(0, 10), past(1, 11), past(2, 12)], total: [ahead(1), ahead(2, 12), ahead(3)] })
  expect(moments.map((moment) => moment.at)).toEqual([0, 1, 2, 3].map(hour))
  expect(moments.map((moment) => moment.actual_m3)).toEqual([10, 11, 12, null])
  expect(moments.map((moment) => moment.index)).toEqual([null, 0, 1, 2])
})

test('the same instant in another spelling is the same instant', () => {
  const moments = timeline({ history: [{ ...past(1, 11), at: '2026-11-21T09:00:00+08:00' }], total: [{ ...ahead(1), at: '2026-11-21T01:00:00Z' }] })
  expect(moments).toHaveLength(1)
  expect(moments[0]?.actual_m3).toBe(11)
})

test('the origin falls into the hour that ran when the forecast was made', () => {
  const moments = timeline({ history: [past(0, 10)], total: [ahead(1), ahead(2), ahead(3)] })
  expect(originPosition(moments, new Date(Date.parse(hour(2)) + 60_000).toISOString())).toBe(2)
  expect(originPosition(moments, hour(-5))).toBe(-1)
  expect(originPosition([], hour(0))).toBe(-1)
})
