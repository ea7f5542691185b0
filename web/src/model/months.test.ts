import { describe, expect, it } from 'vitest'
import type { MonthRows, MonthsView } from '@/api/types'
import { areCoherent, monthsCsv } from './months'

const rows = (key: string, m3: number): MonthRows => {
  const band = { p10_m3: m3 - 10, p50_m3: m3, p90_m3: m3 + 10 }
  return {
    label: { key, name_zh: key, name_en: key },
    points: [{ band, known_m3: 5, parts_m3: [1, m3 - 6, 0, 0], naive_m3: null, methods: [{ model: 'seasonal_smoothing', share: 1 }] }],
    periods: [{ kind: 'next12', from: '2026-11', to: '2027-10', is_whole: true, band, naive_m3: 90 }],
  }
}
const view = (total: number): MonthsView => ({
  run_id: 'F1',
  renewed_by: null,
  origin_at: '2026-11-20T09:00:00+08:00',
  by: 'class',
  months: [{ month: '2026-11', basis: 'joint', known_days: 19, filled_days: 0, run_days: 11, later_days: 0 }],
  total: rows('total', total),
  series: [rows('industrial', 60), rows('commercial', 40)],
})

describe('months', () => {
  it('are coherent when members sum to the total', () => {
    expect(areCoherent(view(100))).toBe(true)
    expect(areCoherent(view(101))).toBe(false)
  })
  it('are exported in m³, with every member and the total', () => {
    const csv = monthsCsv(view(100), (label) => label.name_en, (key) => key)
    expect(csv[0]).toEqual(['forecast.runId', 'F1'])
    const november = csv.filter((row) => row[2] === '2026-11')
    expect(november.map((row) => row[5])).toEqual([60, 40, 100])
    expect(november[0]?.[7]).toBeNull()
    expect(csv.at(-1)).toEqual(['total', 'total', 'next12', '2026-11', '2027-10', 'whole', 90, 100, 110, 90])
  })
})
