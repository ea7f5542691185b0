import { describe, expect, test } from 'vitest'
import type { Band, ForecastView, LedgerRow, Overview } from '@/api/types'
import { forecastCsv } from './forecastCsv'
import { byRisk, filterRows, stakeYuan } from './ledger'
import { cumulativeCurves, paceState, runningHour, sideOf } from './today'
import { isCoherent, seriesGap, tableTotal } from './totals'

const band = (p50: number, half = 10): Band => ({ p10_m3: p50 - half, p50_m3: p50, p90_m3: p50 + half })

const hours = (actualUpTo: number, each = 1000): Overview['today']['hours'] =>
  Array.from({ length: 24 }, (_, index) => ({
    civil_hour: (8 + index) % 24,
    actual_m3: index < actualUpTo ? each * 0.9 : null,
    quality: null,
    band: band(each * 0.9),
    bought_m3: index < actualUpTo ? each : null,
    bought_band: band(each),
    nominated_m3: 1100,
  }))

const overview = (progress: number, list: Overview['today']['hours'], day: Band | null): Overview =>
  ({ gas_day_progress: progress, today: { hours: list }, kpi: { bought_day: day, expected_day: band(1), taken_m3: 0 } }) as Overview

describe('the cumulative curve', () => {
  test('ends the fan exactly at the band of the day', () => {
    const day = { p10_m3: 23_000, p50_m3: 24_000, p90_m3: 25_500 }
    const curves = cumulativeCurves(overview(0.5, hours(12), day))
    expect(curves.actual.at(-1)).toEqual([12, 12_000])
    expect(curves.p10[0]).toEqual([12, 12_000])
    expect(curves.p10.at(-1)).toEqual([24, 23_000])
    expect(curves.p50.at(-1)).toEqual([24, 24_000])
    expect(curves.p90.at(-1)).toEqual([24, 25_500])
    for (const [index, [, low]] of curves.p10.entries()) expect(low).toBeLessThanOrEqual(curves.p90[index]![1])
  })

  test('puts the running hour where now is, not at its end', () => {
    const list = hours(13)
    list[12] = { ...list[12]!, bought_m3: 250 }
    const curves = cumulativeCurves(overview(12.25 / 24, list, band(24_000)))
    expect(curves.actual.at(-1)).toEqual([12.25, 12_250])
    expect(curves.p50[0]).toEqual([12.25, 12_250])
  })

  test('stops at a missing hour instead of running on too low', () => {
    const list = hours(12)
    list[5] = { ...list[5]!, bought_m3: null }
    const curves = cumulativeCurves(overview(0.5, list, band(24_000)))
    expect(curves.actual.at(-1)).toEqual([5, 5000])
  })

  test('never lets a quantile fall below what was taken', () => {
    const curves = cumulativeCurves(overview(0.5, hours(12), { p10_m3: 9000, p50_m3: 13_000, p90_m3: 14_000 }))
    for (const [, low] of curves.p10) expect(low).toBeGreaterThanOrEqual(12_000)
  })

  test('has no fan without a forecast and no nomination line without one', () => {
    const list = hours(12).map((hour) => ({ ...hour, nominated_m3: null }))
    const curves = cumulativeCurves(overview(0.5, list, null))
    expect(curves.p50).toEqual([])
    expect(curves.nominated).toEqual([])
  })

  test('is whole at the end of the day', () => {
    expect(runningHour(1)).toBe(24)
    expect(cumulativeCurves(overview(1, hours(24), band(24_000))).actual.at(-1)).toEqual([24, 24_000])
  })
})

describe('the side of the curves', () => {
  test('is the gates where there are any: a nomination is of gas bought', () => {
    const side = sideOf(overview(0.5, hours(12), band(24_000)))
    expect(side.key).toBe('bought')
    expect(side.hours[3]).toEqual({ m3: 1000, band: band(1000), quality: null, nominated_m3: 1100 })
    expect(side.day).toEqual(band(24_000))
  })

  test('is that of customers without gates, and then no nomination stands beside it', () => {
    const list = hours(12).map((hour) => ({ ...hour, bought_m3: null, bought_band: null }))
    const of = overview(0.5, list, null)
    const side = sideOf({ ...of, kpi: { ...of.kpi, taken_m3: null } })
    expect(side.key).toBe('used')
    expect(side.hours[3]).toEqual({ m3: 900, band: band(900), quality: null, nominated_m3: null })
    expect(cumulativeCurves({ ...of, kpi: { ...of.kpi, taken_m3: null } }).nominated).toEqual([])
  })
})

describe('pace of a source', () => {
  test('is measured against what was nominated for the hours that are in', () => {
    expect(paceState({ due_m3: 50, pace_m3: 10 })).toBe('over')
    expect(paceState({ due_m3: 50, pace_m3: -10 })).toBe('under')
    expect(paceState({ due_m3: 50, pace_m3: 2 })).toBe('even')
    expect(paceState({ due_m3: 0, pace_m3: 0 })).toBe('even')
    expect(paceState({ due_m3: null, pace_m3: null })).toBeNull()
  })
})

const row = (key: string, today: number, tomorrow: number): ForecastView['table'][number] => ({
  key,
  name_zh: key,
  name_en: key,
  yesterday_m3: 10,
  today: band(today),
  tomorrow: band(tomorrow),
  share: 0.5,
  vs_yesterday: null,
})

const view = (gap = 0): ForecastView => ({
  run_id: 'run',
  origin_at: '2026-11-21T10:00:00Z',
  made_with: [],
  horizon: 'daily',
  by: 'class',
  labels: [],
  total: [{ at: '2026-11-21T00:00:00Z', gas_day: '2026-11-21', civil_hour: null, band: band(300, 20), naive_m3: null, actual_m3: null }],
  history: [],
  series: [
    { key: 'a', points: [band(100)] },
    { key: 'b', points: [band(200 + gap)] },
  ],
  table: [row('a', 100, 110), row('b', 200 + gap, 220)],
  cards: {
    yesterday: { day: '2026-11-20', actual_m3: null, forecast_m3: null },
    today: { day: '2026-11-21', band: band(300, 14) },
    tomorrow: { day: '2026-11-22', band: band(330, 15) },
    bought: null,
  },
  month: [],
  quality: [],
  methods: [],
  learnt_by: {},
})

describe('totals of the forecast table', () => {
  test('are those of the cards, bands included, and agree with the rows', () => {
    const total = tableTotal(view())
    expect(total.tomorrow).toEqual(band(330, 15))
    expect(total.yesterday_m3).toBe(20)
    expect(total.vs_yesterday).toBeCloseTo(14)
    expect(isCoherent(total)).toBe(true)
    expect(seriesGap(view())).toBe(0)
  })

  test('of the total alone agree, though there are no rows', () => {
    const total = tableTotal({ ...view(), table: [] })
    expect(isCoherent(total)).toBe(true)
    expect(total.yesterday_m3).toBeNull()
  })

  test('a difference of 1 m³ (0.0001 万m³) is found', () => {
    const total = tableTotal(view(1))
    expect(total.gap_today_m3).toBe(1)
    expect(isCoherent(total)).toBe(false)
    expect(seriesGap(view(1))).toBe(1)
  })
})

test('the exported chart keeps whole m³ and the run', () => {
  const rows = forecastCsv(view(), null, (key) => `<${key}>`, (key) => key)
  expect(rows[0]).toEqual(['forecast.runId', 'run'])
  expect(rows[3]).toEqual(['gas_day', 'total_p10_m3', 'total_p50_m3', 'total_p90_m3', 'naive_m3', 'actual_m3', '<a>_p10_m3', '<a>_p50_m3', '<a>_p90_m3', '<b>_p10_m3', '<b>_p50_m3', '<b>_p90_m3'])
  expect(rows[4]).toEqual(['2026-11-21', 280, 300, 320, null, null, 90, 100, 110, 190, 200, 210])
  const one = forecastCsv(view(), 'b', (key) => key, (key) => key)
  expect(one[4]).toEqual(['2026-11-21', 190, 200, 210])
})

describe('the ledger', () => {
  const ledgerRow = (account_no: string, part: Partial<LedgerRow>): LedgerRow =>
    ({ account_no, name: '华宇陶瓷', account_manager: '', class: 'industrial', grid: '城东', status: 'normal', base_price_yuan_per_m3: '3.5', deviation_m3: null, month_expected_deviation_m3: null, ...part }) as LedgerRow

  test('sorts by status, then by money at stake, then by account', () => {
    const rows = [
      ledgerRow('1', { month_expected_deviation_m3: 9000 }),
      ledgerRow('4', { status: 'warning', deviation_m3: '100' }),
      ledgerRow('3', { status: 'warning', month_expected_deviation_m3: -200 }),
      ledgerRow('2', { status: 'abnormal' }),
      ledgerRow('0', {}),
    ]
    expect(rows.sort(byRisk).map((item) => item.account_no)).toEqual(['2', '3', '4', '1', '0'])
  })

  test('prices a deviation in either direction', () => {
    expect(stakeYuan(ledgerRow('1', { month_expected_deviation_m3: -200 }))).toBe(700)
    expect(stakeYuan(ledgerRow('1', { deviation_m3: '-10.5' }))).toBe(36.75)
  })

  test('filters add up', () => {
    const rows = [ledgerRow('1', {}), ledgerRow('2', { status: 'watch' }), ledgerRow('3', { status: 'watch', grid: '城西' })]
    const filter = { search: 'hytc', classes: ['industrial'], statuses: ['watch'], grids: [] }
    expect(filterRows(rows, filter).map((item) => item.account_no)).toEqual(['2', '3'])
    expect(filterRows(rows, { ...filter, grids: ['城西'] }).map((item) => item.account_no)).toEqual(['3'])
  })
})
