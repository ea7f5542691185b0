import { describe, expect, test } from 'vitest'
import { decodeLive, emptyLiveState, mergeNotices, NOTICES_MAX, reduceLive, replaceOverview, type LiveState } from './live'
import type { Notice, Overview, OverviewPatch } from './types'

const overview = (now: string, taken: number): Overview => ({
  company: 'x',
  now,
  gas_day: '2026-11-21',
  gas_day_start_hour: 8,
  gas_day_progress: 0.4,
  remaining_s: 51_840,
  time_factor: 1,
  weather: [],
  coverage_ratio: 0.98,
  meters: { expected: 10, reporting: 9, silent: 1 },
  alerts: { red: 0, orange: 1, yellow: 0, blue: 0 },
  kpi: {
    nominated_m3: 550_000,
    taken_m3: taken,
    taken_through: null,
    taken_hours: null,
    due_m3: null,
    pace_m3: null,
    used_m3: null,
    remaining_m3: null,
    remaining_avg_flow_m3h: null,
    bought_day: null,
    deviation_m3: null,
    expected_day: null,
    over_probability: null,
    yesterday_m3: null,
    bought_yesterday_m3: null,
    tomorrow: null,
    bought_tomorrow: null,
    month_taken_m3: null,
    month_contract_m3: null,
    remaining_avg_dcq_m3: null,
  },
  today: { hours: [] },
  sources: [],
  classes: [],
  heatmap: [],
  top_customers: [],
  collect: { received: 1, accepted: 1, rejected: 0, duplicates: 0, rate_per_s: 1, journal_lag_s: null },
})

const patch = (now: string, taken: number, gas_day = '2026-11-21'): OverviewPatch => {
  const { gas_day_progress, remaining_s, kpi, collect, meters, coverage_ratio } = overview(now, taken)
  return { now, gas_day, gas_day_progress, remaining_s, kpi, collect, meters, coverage_ratio }
}

const notice = (at: string, code = 'A101', kind: Notice['kind'] = 'alert'): Notice => ({
  at,
  kind,
  level: 'orange',
  code,
  title_zh: '突增',
  title_en: 'jump',
  subject: null,
})

const loaded = (now: string, taken: number): LiveState => ({ ...emptyLiveState(), overview: overview(now, taken) })

describe('decoding', () => {
  test('what is not understood is left out instead of breaking the stream', () => {
    expect(decodeLive('overview', '{broken')).toBeNull()
    expect(decodeLive('overview', '{"now":"x"}')).toBeNull()
    expect(decodeLive('comment', '{"now":"x","kpi":{}}')).toBeNull()
    expect(decodeLive('notice', 'null')).toBeNull()
  })

  test('both events are decoded', () => {
    expect(decodeLive('overview', JSON.stringify(patch('2026-11-21T10:00:00Z', 1)))?.type).toBe('overview')
    expect(decodeLive('notice', JSON.stringify(notice('2026-11-21T10:00:00Z')))?.type).toBe('notice')
  })
})

describe('live figures', () => {
  test('are laid over the overview, whose series stay the same objects', () => {
    const state = loaded('2026-11-21T10:00:00Z', 100)
    const next = reduceLive(state, { type: 'overview', patch: patch('2026-11-21T10:00:02Z', 120) })
    expect(next.overview?.kpi.taken_m3).toBe(120)
    expect(next.overview?.now).toBe('2026-11-21T10:00:02Z')
    expect(next.overview?.heatmap).toBe(state.overview?.heatmap)
    expect(next.overview?.alerts.orange).toBe(1)
    expect(state.overview?.kpi.taken_m3).toBe(100)
  })

  test('that are older than the screen change nothing', () => {
    const state = loaded('2026-11-21T18:00:10+08:00', 100)
    // The same instant written in the other zone form must not compare as text.
    expect(reduceLive(state, { type: 'overview', patch: patch('2026-11-21T10:00:05Z', 90) })).toBe(state)
  })

  test('of a new gas day ask for a fresh overview instead of mixing days', () => {
    const state = loaded('2026-11-21T23:59:59Z', 100)
    const next = reduceLive(state, { type: 'overview', patch: patch('2026-11-22T00:00:01Z', 0, '2026-11-22') })
    expect(next.overview?.kpi.taken_m3).toBe(100)
    expect(next.isStale).toBe(true)
  })

  test('before the first overview are dropped', () => {
    expect(reduceLive(emptyLiveState(), { type: 'overview', patch: patch('2026-11-21T10:00:00Z', 1) }).overview).toBeNull()
  })

  test('a null in an event is shown as missing, not kept at the old value', () => {
    const state = loaded('2026-11-21T10:00:00Z', 100)
    const silent = patch('2026-11-21T10:00:02Z', 0)
    const next = reduceLive(state, { type: 'overview', patch: { ...silent, kpi: { ...silent.kpi, taken_m3: null } } })
    expect(next.overview?.kpi.taken_m3).toBeNull()
  })
})

describe('a full fetch', () => {
  test('that was overtaken by the stream keeps the newer figures and clears the stale mark', () => {
    const state = { ...loaded('2026-11-21T10:00:05Z', 150), isStale: true }
    const next = replaceOverview(state, overview('2026-11-21T10:00:03Z', 140))
    expect(next.overview?.kpi.taken_m3).toBe(150)
    expect(next.isStale).toBe(false)
  })

  test('of another gas day replaces everything', () => {
    const fresh = { ...overview('2026-11-22T00:00:03Z', 5), gas_day: '2026-11-22' }
    expect(replaceOverview(loaded('2026-11-22T00:00:09Z', 500), fresh).overview).toBe(fresh)
  })
})

describe('notices', () => {
  test('are newest first and each once, though the stream repeats itself', () => {
    const known = [notice('2026-11-21T10:00:00Z'), notice('2026-11-21T09:00:00Z')]
    const merged = mergeNotices(known, [notice('2026-11-21T10:00:00Z'), notice('2026-11-21T18:30:00+08:00')])
    expect(merged.map((item) => item.at)).toEqual(['2026-11-21T18:30:00+08:00', '2026-11-21T10:00:00Z', '2026-11-21T09:00:00Z'])
  })

  test('are bounded', () => {
    const many = Array.from({ length: NOTICES_MAX + 50 }, (_, index) => notice(new Date(1_700_000_000_000 + index * 1000).toISOString()))
    expect(mergeNotices([], many)).toHaveLength(NOTICES_MAX)
  })

  test('of a forecast ask for a fresh overview', () => {
    const state = loaded('2026-11-21T10:00:00Z', 1)
    expect(reduceLive(state, { type: 'notice', notice: notice('2026-11-21T10:00:01Z', 'f', 'forecast') }).isStale).toBe(true)
    expect(reduceLive(state, { type: 'notice', notice: notice('2026-11-21T10:00:01Z') }).isStale).toBe(false)
  })
})
