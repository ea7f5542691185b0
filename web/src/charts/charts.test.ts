import { expect, test } from 'vitest'
import type { Overview } from '@/api/types'
import { heatmapOption, heatRange } from './heatmap'
import { inkOf } from './palette'
import { cumulativeOption } from './today'

const hours = Array.from({ length: 24 }, (_, hour) => ({
  actual_m3: hour < 6 ? 1000 : null,
  quality: hour < 6 ? 'measured' : null,
  nominated_m3: 1200,
  band: { p10_m3: 900, p50_m3: 1000, p90_m3: 1100 },
  bought_m3: hour < 6 ? 1000 : null,
  bought_band: null,
}))
const row = (day: string, of: (number | null)[]) => ({ day, hours: of })
const overview = {
  gas_day: '2026-11-21',
  gas_day_start_hour: 8,
  gas_day_progress: 6.5 / 24,
  today: { hours },
  heatmap: [
    row('2026-11-20', [null, ...Array.from({ length: 23 }, (_, hour) => 100 + hour)]),
    row('2026-11-21', [...Array.from({ length: 5 }, () => 700), null, ...Array.from({ length: 18 }, () => null)]),
  ],
  kpi: { bought_day: null, expected_day: null, taken_m3: 6000 },
} as unknown as Overview
type Series = { type: string; name?: string; step?: string; data: unknown[]; markLine?: { label: { align: string } } }
const series = (option: object) => (option as { series: Series[] }).series

test('the nomination is taken evenly within each hour, so it is not drawn as a step', () => {
  const lines = series(cumulativeOption(overview, inkOf('light'), (key) => key))
  const nominated = lines.find((line) => line.name === 'overview.nominated')
  expect(nominated?.step).toBeUndefined()
  expect(nominated?.data).toHaveLength(25)
  expect(nominated?.data.slice(0, 2)).toEqual([[0, 0], [1, 1200]])
  // The label of now stands clear of the axis.
  expect(lines.find((line) => line.markLine)?.markLine?.label.align).toBe('left')
})

test('an hour that is over and unknown is struck through, one to come is not', () => {
  expect(heatRange(overview)).toEqual({ low: 100, high: 700 })
  const [, struck] = series(heatmapOption(overview, inkOf('light'), 'm³/h'))
  // Newest day first: row 0 is today, whose hours from 6 on are still to come.
  expect(struck?.data).toEqual([[5, 0], [0, 1]])
  expect(heatRange({ ...overview, heatmap: [] })).toBeNull()
})
