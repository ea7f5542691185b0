// A stand-in for the daemon: serves the console's API with a plausible city, and `dist/` if it was
// built. For front-end work and visual tests only; no figure in here comes from a real company.
//
//   PORT (8788)            port on 127.0.0.1, 0 for any
//   FIXTURE_NOW            instant at which the clock starts (2026-11-21T18:25:00+08:00)
//   FIXTURE_FACTOR (1)     time factor, as in a demo city
//   FIXTURE_EVENT_MS (2000) period of the live stream
import { createReadStream, existsSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildLedger } from './ledger.mjs'
import {
  addDays,
  band,
  cells,
  civilHour,
  CLASSES,
  dayTotal,
  gasDayOf,
  gasDayStart,
  hourBySource,
  hourTotal,
  meanTemperature,
  SLOTS,
  SOURCES,
  stamp,
  START_HOUR,
  sum,
  wholeParts,
} from './model.mjs'

const HOUR_MS = 3_600_000
const factor = Number(process.env.FIXTURE_FACTOR ?? 1)
const startedAt = Date.now()
const simulatedStart = Date.parse(process.env.FIXTURE_NOW ?? '2026-11-21T18:25:00+08:00')
const eventMs = Number(process.env.FIXTURE_EVENT_MS ?? 2000)
const now = () => simulatedStart + (Date.now() - startedAt) * factor

/** Where the gas day stands. */
function clock() {
  const at = now()
  const day = gasDayOf(at)
  const progress = (at - gasDayStart(day)) / (24 * HOUR_MS)
  return { at, day, progress, running: Math.floor(progress * 24), part: (progress * 24) % 1 }
}

const NOMINATED = { xiqi2: 331_000, zhonghua: 182_000, lng: 63_000 }
const nominatedTotal = sum(Object.values(NOMINATED))

/** Gas is bought with its loss: customers' meters show this part of it. */
const SOLD = 0.978
const bought = (m3) => Math.round(m3 / SOLD)
const boughtBand = ({ p10_m3, p50_m3, p90_m3 }) => ({ p10_m3: bought(p10_m3), p50_m3: bought(p50_m3), p90_m3: bought(p90_m3) })

/** Gates report whole hours, the last one and a half hours late. */
const hoursIn = ({ progress }) => Math.max(0, Math.floor(progress * 24 - 1.5))
/** Nominated by hour: like the day before, scaled to what is nominated. */
function nominatedHours(day) {
  const shape = Array.from({ length: 24 }, (_, index) => hourTotal(addDays(day, -1), index))
  const all = sum(shape)
  return wholeParts(shape.map((m3) => (m3 / all) * nominatedTotal))
}

/** What the gates have and what of it was nominated, split among sources as it was nominated. */
function takenBySource(state) {
  const hours = hoursIn(state)
  const taken = sum(Array.from({ length: hours }, (_, index) => bought(hourTotal(state.day, index))))
  const due = sum(nominatedHours(state.day).slice(0, hours))
  const split = (m3) => wholeParts(SOURCES.map((source) => (m3 * NOMINATED[source.key]) / nominatedTotal))
  return { hours, taken, due, bySource: split(taken), dueBySource: split(due) }
}

function kpi(state) {
  const { day, progress } = state
  const { hours, taken, due } = takenBySource(state)
  const total = dayTotal(day)
  const buys = taken + sum(Array.from({ length: 24 - hours }, (_, index) => bought(hourTotal(day, hours + index))))
  const tomorrow = dayTotal(addDays(day, 1))
  return {
    nominated_m3: nominatedTotal,
    taken_m3: taken,
    taken_through: stamp(gasDayStart(day) + hours * HOUR_MS),
    taken_hours: hours,
    due_m3: due,
    pace_m3: taken - due,
    used_m3: Math.round(total * progress),
    remaining_m3: nominatedTotal - taken,
    remaining_avg_flow_m3h: hours === 24 ? null : (nominatedTotal - taken) / (24 - hours),
    bought_day: { p10_m3: Math.round(buys - (buys - taken) * 0.055), p50_m3: buys, p90_m3: Math.round(buys + (buys - taken) * 0.06) },
    deviation_m3: buys - nominatedTotal,
    expected_day: { p10_m3: Math.round(total - (total - taken) * 0.055), p50_m3: total, p90_m3: Math.round(total + (total - taken) * 0.06) },
    over_probability: buys > nominatedTotal ? 0.73 : 0.18,
    yesterday_m3: dayTotal(addDays(day, -1)),
    bought_yesterday_m3: bought(dayTotal(addDays(day, -1))),
    tomorrow: band(tomorrow, 0.048),
    bought_tomorrow: boughtBand(band(tomorrow, 0.048)),
    month_taken_m3: sum(Array.from({ length: 20 }, (_, back) => bought(dayTotal(addDays(day, -1 - back))))) + taken,
    month_contract_m3: 16_800_000,
    remaining_avg_dcq_m3: 551_300,
  }
}

function live() {
  const state = clock()
  const beats = (Date.now() - startedAt) / 1000
  return {
    now: stamp(state.at),
    gas_day: state.day,
    gas_day_progress: state.progress,
    remaining_s: Math.round((1 - state.progress) * 86_400),
    kpi: kpi(state),
    collect: {
      received: 184_220 + Math.round(beats * 23),
      accepted: 183_907 + Math.round(beats * 22.9),
      rejected: 41 + Math.floor(beats / 40),
      duplicates: 272 + Math.floor(beats / 15),
      rate_per_s: 22.8 + Math.sin(beats / 3),
      journal_lag_s: 0.4,
    },
    meters: { expected: 2000, reporting: 1974, silent: 26 },
    coverage_ratio: 1974 / 2000,
  }
}

let ledgerCache = { key: '', entries: [] }
function ledger() {
  const { day, progress, at } = clock()
  const key = `${day}-${Math.floor(progress * 24)}`
  if (ledgerCache.key !== key) ledgerCache = { key, entries: buildLedger(day, at, progress) }
  return ledgerCache.entries
}

function overview() {
  const state = clock()
  const { day, running } = state
  const actual = (hours, index) => (index < running ? hours[index] : null)
  const total = Array.from({ length: 24 }, (_, index) => hourTotal(day, index))
  const { hours: known, bySource, dueBySource } = takenBySource(state)
  const nominated = nominatedHours(day)
  return {
    company: '豫南城市燃气有限公司',
    gas_day_start_hour: START_HOUR,
    time_factor: factor,
    weather: [
      { station: 'STN-01', zones: ['城北', '城南'], now_c: meanTemperature(day) - 1.2, today_mean_c: meanTemperature(day), tomorrow_mean_c: meanTemperature(addDays(day, 1)) },
      { station: 'STN-02', zones: ['南湾'], now_c: meanTemperature(day) - 2, today_mean_c: meanTemperature(day) - 0.8, tomorrow_mean_c: null },
    ],
    alerts: { red: 0, orange: 2, yellow: 7, blue: 4 },
    ...live(),
    today: {
      hours: total.map((m3, index) => ({
        civil_hour: civilHour(index),
        actual_m3: actual(total, index),
        quality: index >= running ? null : index === 3 ? 'estimated' : 'measured',
        band: band(m3 * (1 + 0.02 * Math.sin(index * 1.7)), 0.055 + 0.002 * index),
        bought_m3: index < known ? bought(m3) : null,
        bought_band: boughtBand(band(m3 * (1 + 0.02 * Math.sin(index * 1.7)), 0.055 + 0.002 * index)),
        nominated_m3: nominated[index],
      })),
    },
    sources: SOURCES.map((source, index) => ({
      source: source.key,
      name: source.name,
      class: source.class,
      supplier: source.supplier,
      delivery_point: source.delivery_point,
      nominated_m3: NOMINATED[source.key],
      taken_m3: bySource[index],
      taken_by: 'nomination',
      due_m3: dueBySource[index],
      pace_m3: bySource[index] - dueBySource[index],
      month_contract_m3: source.dcq * 30,
      month_taken_m3: source.dcq * 20.4,
      remaining_avg_dcq_m3: source.dcq * 0.98,
      tomorrow: boughtBand(band(dayTotal(addDays(day, 1)) * source.share, 0.06)),
      suggested_m3: Math.round((dayTotal(addDays(day, 1)) * source.share * 1.012) / 100) * 100,
    })),
    classes: CLASSES.map((item, index) => ({
      class: item.key,
      today: band(sum(cells(day)[index]), 0.05),
      yesterday_m3: sum(cells(addDays(day, -1))[index]),
      hours: cells(day)[index].map((m3, hour) => ({ actual_m3: actual(cells(day)[index], hour), p50_m3: Math.round(m3 * (1 + 0.02 * Math.sin(hour))) })),
    })),
    heatmap: Array.from({ length: 15 }, (_, back) => {
      const that = addDays(day, back - 14)
      return { day: that, hours: Array.from({ length: 24 }, (_, hour) => (back === 5 && hour > 12 && hour < 15 ? null : hourTotal(that, hour))) }
    }),
    top_customers: [...ledger()]
      .sort((a, b) => Number(b.row.yesterday_m3 ?? 1e9) - Number(a.row.yesterday_m3 ?? 1e9))
      .slice(0, 9)
      .map(({ row }) => ({
        account_no: row.account_no,
        name: row.name,
        class: row.class,
        latest_flow_m3h: row.status === 'abnormal' ? null : Math.round((Number(row.yesterday_m3) / 24) * 1.1),
        yesterday_m3: row.yesterday_m3 === null ? null : Number(row.yesterday_m3),
        plan_m3: row.plan_m3 === null ? null : Number(row.plan_m3),
        status: row.status,
        sparkline: row.sparkline,
      })),
  }
}

const slotOf = (hour) => SLOTS.findIndex((slot) => slot.from <= hour && hour < slot.to)

/** P50 of the parts of an hour in a dimension; they sum to the hour. */
function parts(by, day, index) {
  if (by === 'class') return cells(day).map((hours) => hours[index])
  if (by === 'source') return hourBySource(day, index)
  if (by === 'slot') return SLOTS.map((_, slot) => (slotOf(civilHour(index)) === slot ? hourTotal(day, index) : 0))
  return [hourTotal(day, index)]
}
const dayParts = (by, day) => Array.from({ length: 24 }, (_, index) => parts(by, day, index)).reduce((a, b) => a.map((value, key) => value + b[key]))

/** Nothing is bought for one class or slot. */
const isOfPurchases = (by, key) => key === null || by === 'total' || by === 'source'

/** The months of the same city: each member a part of the total, so that they add up. */
function months(query) {
  const by = query.get('by') ?? 'total'
  const { day, at } = clock()
  const labels = {
    total: [],
    zone: [['Z1', '城北'], ['Z2', '城南']],
    source: SOURCES.map(({ key, name }) => [key, name]),
    class: CLASSES.map(({ key, name_zh }) => [key, name_zh]),
    node: CLASSES.map(({ key, name_zh }) => [`Z1/${key}`, `城北 ${name_zh}`]),
  }[by]
  const [year, month] = day.split('-').map(Number)
  const names = Array.from({ length: 18 }, (_, ahead) => new Date(Date.UTC(year, month - 1 + ahead, 1)).toISOString().slice(0, 7))
  const seasonal = (name) => 1 + 0.8 * Math.cos(((Number(name.slice(5)) - 1) / 12) * 2 * Math.PI)
  const whole = names.map((name) => Math.round(dayTotal(day) * 30 * seasonal(name)))
  const split = (m3) => labels.map((_, index) => (index < labels.length - 1 ? Math.floor(m3 / labels.length) : m3 - Math.floor(m3 / labels.length) * (labels.length - 1)))
  const rows = (label, values) => {
    const point = (m3, ahead) => {
      const known_m3 = ahead === 0 ? Math.floor(m3 / 3) : 0
      const new_m3 = ahead > 3 ? Math.floor(m3 / 50) : 0
      return {
        band: band(m3, 0.08), known_m3, parts_m3: [0, m3 - known_m3 - new_m3, new_m3, 0], naive_m3: ahead === 17 ? null : Math.round(m3 * 0.97),
        methods: ahead < 2 ? [] : [{ model: 'seasonal_smoothing', share: 0.94 }, { model: 'class_profile', share: 0.06 }],
      }
    }
    const period = (kind, from, to, is_whole) => ({ kind, from: names[from], to: names[to], is_whole, band: band(sum(values.slice(from, to + 1)), 0.05), naive_m3: Math.round(sum(values.slice(from, to + 1)) * 0.97) })
    return {
      label,
      points: values.map(point),
      periods: [period('next12', 0, 11, true), period('heating', 0, 4, true), period('contract_year', 0, 4, false), period('calendar_year', 2, 13, true)],
    }
  }
  const members = whole.map(split)
  return {
    run_id: '01JD4Y6T8QZK3M5R7V9XBCD100', origin_at: stamp(at), renewed_by: null, by,
    months: names.map((name, ahead) => ({ month: name, basis: ahead < 2 ? 'run' : ahead === 2 ? 'joint' : 'months', known_days: ahead === 0 ? 19 : 0, filled_days: 0, run_days: ahead < 2 ? 11 : ahead === 2 ? 20 : 0, later_days: ahead < 2 ? 0 : ahead === 2 ? 11 : 30 })),
    total: rows({ key: 'total', name_zh: '合计', name_en: 'Total' }, whole),
    series: labels.map(([key, name], index) => rows({ key, name_zh: name, name_en: key }, members.map((of) => of[index]))),
  }
}

/** Parts, factors, peaks, days alike and record of the same forecast; other paths are not ours. */
function outlook(path, query) {
  const name = path.replace('/api/v1/forecast/', '')
  if (!['parts', 'factors', 'record', 'outlook', 'similar'].includes(name)) return undefined
  const view = forecast(new URLSearchParams({ horizon: 'daily', by: query.get('by') ?? 'class' }))
  const tomorrow = view.cards.tomorrow
  if (name === 'factors' || name === 'record') return []
  if (name === 'similar') {
    const days = view.history.slice(-7).map((day, index) => ({
      gas_day: day.gas_day, distance: 0.4 + index / 5, temperature_k: 1, by_temperature: 0.5, by_day_type: 0.3, by_season: 0.2, by_festival: 0, by_age: 0,
      effective_c: 8.5, holiday: null, used_m3: day.actual_m3, hours_m3: Array.from({ length: 24 }, (_, hour) => Math.round((day.actual_m3 / 24) * (1 + Math.sin(hour / 4) / 3))),
    }))
    return { gas_day: tomorrow.day, effective_c: 7.5, days }
  }
  if (name === 'outlook') {
    const peak = (civil_hour, scale) => ({
      gas_day: tomorrow.day, civil_hour, probability: 0.4, p50_m3: Math.round(tomorrow.band.p50_m3 * scale), p90_m3: Math.round(tomorrow.band.p50_m3 * scale * 1.08), p99_m3: Math.round(tomorrow.band.p50_m3 * scale * 1.15), days: 62,
    })
    return { run_id: view.run_id, peak_day: peak(null, 1.2), peak_hour: peak(18, 0.06), design_day: null, missing_zh: '只有 2 个冬季的气温', missing_en: '2 winters of weather are known' }
  }
  const parts = (m3) => {
    const planned_m3 = Math.floor(m3 * 0.3)
    return { planned_m3, statistical_m3: m3 - planned_m3, new_m3: 0, other_m3: 0, total_m3: m3 }
  }
  const sum = (rows) => rows.reduce((all, row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, (all[key] ?? 0) + value])), {})
  const rows = view.table.map((row) => ({ key: row.key, name_zh: row.name_zh, name_en: row.name_en, today: parts(row.today.p50_m3), tomorrow: parts(row.tomorrow.p50_m3) }))
  const days = [
    { gas_day: view.cards.today.day, parts: sum(rows.map((row) => row.today)) },
    { gas_day: tomorrow.day, parts: sum(rows.map((row) => row.tomorrow)) },
  ]
  return { run_id: view.run_id, by: query.get('by') ?? 'class', days, rows, nodes: [], consumers: [], projects: [] }
}

function forecast(query) {
  const horizon = query.get('horizon') === 'daily' ? 'daily' : 'hourly'
  const by = ['source', 'class', 'slot'].includes(query.get('by')) ? query.get('by') : 'total'
  const { at, day, running } = clock()
  const origin = at - (at % HOUR_MS)
  const labels =
    by === 'class'
      ? CLASSES.map(({ key, name_zh, name_en }) => ({ key, name_zh, name_en }))
      : by === 'source'
        ? SOURCES.map(({ key, name }) => ({ key, name_zh: name, name_en: name }))
        : by === 'slot'
          ? SLOTS.map(({ key, name_zh, name_en }) => ({ key, name_zh, name_en }))
          : []
  const chosen = labels.findIndex(({ key }) => key === query.get('key'))
  /** The chosen key's part of a total, or the total. */
  const wholeOf = (keys, total) => (chosen < 0 ? total : keys[chosen])
  const points = []
  const history = []
  if (horizon === 'daily') {
    for (let back = 14; back > 0; back -= 1) {
      const that = addDays(day, -back)
      history.push({ at: stamp(gasDayStart(that)), gas_day: that, civil_hour: null, actual_m3: wholeOf(dayParts(by, that), dayTotal(that)) })
    }
    for (let ahead = 0; ahead < 40; ahead += 1) {
      const that = addDays(day, ahead)
      points.push({ day: that, index: null, spread: 0.022 + 0.018 * Math.sqrt(ahead), p50: dayTotal(that), keys: dayParts(by, that) })
    }
  } else {
    for (let back = 48; back > 0; back -= 1) {
      const position = running - back
      const that = addDays(day, Math.floor(position / 24))
      const index = ((position % 24) + 24) % 24
      history.push({ at: stamp(gasDayStart(that) + index * HOUR_MS), gas_day: that, civil_hour: civilHour(index), actual_m3: wholeOf(parts(by, that, index), hourTotal(that, index)) })
    }
    // As the daemon does: hours from the start of the running gas day, so the first are history too.
    for (let position = 0; position < 120; position += 1) {
      const ahead = Math.max(0, position - running)
      const that = addDays(day, Math.floor(position / 24))
      const index = position % 24
      points.push({ day: that, index, spread: 0.03 + 0.008 * Math.sqrt(ahead), p50: hourTotal(that, index), keys: parts(by, that, index) })
    }
  }
  const yesterday = addDays(day, -1)
  const tomorrow = addDays(day, 1)
  const rows = (that) => dayParts(by, that)
  const month = day.slice(0, 7)
  const next = addDays(`${month}-28`, 7).slice(0, 7)
  const daysOf = (name) => Array.from({ length: 31 }, (_, index) => `${name}-${String(index + 1).padStart(2, '0')}`).filter((that) => addDays(that, 0) === that && that.startsWith(name))
  const monthBlock = (name) => {
    const taken = sum(daysOf(name).filter((that) => that < day).map(dayTotal))
    const rest = sum(daysOf(name).filter((that) => that >= day).map(dayTotal))
    const remaining = band(rest, name === month ? 0.03 : 0.055)
    const plus = (of, m3) => ({ p10_m3: m3 + of.p10_m3, p50_m3: m3 + of.p50_m3, p90_m3: m3 + of.p90_m3 })
    const contract_m3 = name === month ? 16_800_000 : 20_600_000
    const ahead = boughtBand(remaining)
    const expected = plus(ahead, bought(taken))
    return {
      month: name,
      used_m3: taken,
      remaining,
      expected: plus(remaining, taken),
      bought: isOfPurchases(by, query.get('key')) ? { taken_m3: bought(taken), remaining: ahead, expected, contract_m3, gap_m3: expected.p50_m3 - contract_m3 } : null,
    }
  }
  return {
    run_id: '01JD4Y6T8QZK3M5R7V9XBCDFGH',
    origin_at: stamp(origin),
    made_with: [
      ['demand_through', stamp(origin)],
      ['weather_issued_at', stamp(origin - 3 * HOUR_MS)],
      ['registry', 'r-20261120-2'],
      ['program', 'qiliang 0.1.0'],
    ],
    learnt_by: { '01JD4Y6T8QZK3M5R7V9XBCDFGH': ['north/industrial'], '01JD4X0C3M9TQZ5W1HRYB7N2KD': ['north/commercial', 'south/commercial'] },
    horizon,
    by,
    labels,
    total: points.map((point) => ({
      at: stamp(gasDayStart(point.day) + (point.index ?? 0) * HOUR_MS),
      gas_day: point.day,
      civil_hour: point.index === null ? null : civilHour(point.index),
      band: band(wholeOf(point.keys, point.p50), point.spread),
      naive_m3: point.index === null ? dayTotal(addDays(point.day, -7)) : hourTotal(addDays(point.day, -7), point.index),
      actual_m3: point.index !== null && point.day === day && point.index < running ? wholeOf(point.keys, point.p50) : null,
    })),
    history,
    series: by === 'total' ? [] : labels.map(({ key }, index) => ({ key, points: points.map((point) => band(point.keys[index], point.spread * 1.25)) })),
    table: labels.map(({ key, name_zh, name_en }, index) => ({
      key,
      name_zh,
      name_en,
      yesterday_m3: rows(yesterday)[index],
      today: band(rows(day)[index], 0.03),
      tomorrow: band(rows(tomorrow)[index], 0.06),
      share: rows(tomorrow)[index] / dayTotal(tomorrow),
      vs_yesterday: rows(day)[index] / rows(yesterday)[index] - 1,
    })),
    cards: {
      yesterday: { day: yesterday, actual_m3: dayTotal(yesterday), forecast_m3: Math.round(dayTotal(yesterday) * 0.983) },
      today: { day, band: band(dayTotal(day), 0.02) },
      tomorrow: { day: tomorrow, band: band(dayTotal(tomorrow), 0.048) },
      bought: isOfPurchases(by, query.get('key'))
        ? { yesterday_m3: bought(dayTotal(yesterday)), today: kpi(clock()).bought_day, tomorrow: boughtBand(band(dayTotal(tomorrow), 0.048)) }
        : null,
    },
    month: [monthBlock(month), monthBlock(next)],
    quality: [
      { class: 'total', lead: 'day_ahead', cases: 90, wape: 0.0261, naive_wape: 0.0604, coverage: 0.81 },
      { class: 'residential_heating', lead: 'day_ahead', cases: 90, wape: 0.0447, naive_wape: 0.1321, coverage: 0.79 },
      { class: 'industrial', lead: 'day_ahead', cases: 90, wape: 0.0312, naive_wape: 0.0538, coverage: 0.83 },
      { class: 'commercial', lead: 'day_ahead', cases: 90, wape: 0.0388, naive_wape: 0.0577, coverage: 0.72 },
      { class: 'total', lead: 'month_ahead_days', cases: 186, wape: 0.0423, naive_wape: 0.0795, coverage: null },
      { class: 'total', lead: 'month_ahead_total', cases: 6, wape: 0.0198, naive_wape: 0.0512, coverage: 0.83 },
    ],
    methods: [
      { zone: 'Z1', zone_name: '城北', class: 'residential_heating', class_zh: '居民采暖', class_en: 'Residential heating', model: 'regression', p50_m3: 214000 },
      { zone: 'Z1', zone_name: '城北', class: 'industrial', class_zh: '工业', class_en: 'Industrial', model: 'regression', p50_m3: 301000 },
      { zone: 'Z2', zone_name: '城南', class: 'commercial', class_zh: '商业', class_en: 'Commercial', model: 'class_profile', p50_m3: 9000 },
    ],
  }
}

const notices = []
let noticeCount = 0
const TEMPLATES = [
  ['curve', 'info', 'curve.computed', '曲线重算 12 块表', 'recomputed the curves of 12 meters', null],
  ['finding', 'yellow', 'V03', '流量超出量程,已标可疑', 'flow out of range, marked suspect', 'M-10565-1'],
  ['alert', 'orange', 'A101', '突增:今日用量为昨日同时段的1.62倍', "jump: today's use is 1.62 times yesterday's", '华宇陶瓷有限公司'],
  ['reject', 'blue', 'decode.truncated', '帧不完整,已存入拒收', 'frame too short, kept among the rejects', 'gw-07'],
  ['nudge', 'info', 'nudge.drafted', '生成避峰建议草稿 3 条', 'drafted 3 off-peak suggestions', null],
  ['forecast', 'info', 'forecast.published', '发布预测:明日 P50 58.9 万m³', 'forecast published', null],
  ['alert', 'yellow', 'A301', '网关离线12分钟,影响8块表', 'gateway offline for 12 minutes, 8 meters', 'gw-03'],
]
function makeNotice(index, at) {
  const [kind, level, code, title_zh, title_en, subject] = TEMPLATES[index % TEMPLATES.length]
  return { at: stamp(at), kind, level, code, title_zh, title_en, subject }
}
for (let index = 0; index < 24; index += 1) notices.unshift(makeNotice(index, now() - (24 - index) * 240_000))

const streams = new Set()
setInterval(() => {
  const data = JSON.stringify(live())
  for (const stream of streams) stream.write(`event: overview\ndata: ${data}\n\n`)
}, eventMs).unref()
setInterval(() => {
  const notice = makeNotice(noticeCount, now())
  noticeCount += 1
  notices.unshift(notice)
  notices.length = Math.min(notices.length, 200)
  for (const stream of streams) stream.write(`event: notice\ndata: ${JSON.stringify(notice)}\n\n`)
}, eventMs * 3).unref()

const declarations = () => {
  const { day, at } = clock()
  const next = addDays(`${day.slice(0, 7)}-28`, 7).slice(0, 7)
  return [
    { month: next, version: 2, state: sentByHand.has(`declarations ${next}`) ? 'sent' : 'draft', declared_m3: '20742310', made_at: stamp(at - 40 * 60_000), suppliers: ['西部天然气销售公司', '沿海液化气贸易公司'], submissions: [{ version: 1, submission_no: 1, sent_at: stamp(at - 25 * HOUR_MS), person: '王工', reason: '平台上报' }] },
    { month: day.slice(0, 7), version: 1, state: 'executing', declared_m3: '16800000', made_at: stamp(at - 26 * 24 * HOUR_MS), suppliers: ['西部天然气销售公司', '沿海液化气贸易公司'], submissions: [{ version: 1, submission_no: 1, sent_at: stamp(at - 26 * 24 * HOUR_MS), person: '王工', reason: '平台上报' }] },
  ]
}

const messageOf = (zh) => ({ zh, en: zh, bytes: Buffer.byteLength(zh), problem: null })

/** An event as measured: 4 h against 960 m³/h. */
function settlementOf(id, customer, day, settledAt, outcome) {
  const actual = outcome === 'incomplete' ? [640, 655, null, 660] : [640, 655, 648, 660]
  const used = actual.some((value) => value === null) ? null : actual.reduce((sum, value) => sum + value, 0)
  const less = used === null ? null : 3840 - used
  return {
    nudge: id,
    customer,
    day,
    result: {
      outcome,
      hours: actual.map((value, index) => ({ hour: 9 + index, baseline_m3h: 960, actual_m3h: value, quality: value === null ? 'missing' : 'measured' })),
      hours_estimated: 0,
      hours_missing: used === null ? 1 : 0,
      baseline_m3: 3840,
      actual_m3: used,
      reduction_m3: less,
      reduction_p10_m3: less === null ? null : less - 174,
      reduction_p90_m3: less === null ? null : less + 174,
      reduction_ratio: less === null ? null : less / 3840,
      noise_m3: 120,
      committed_m3: 1200,
      performance_ratio: less === null ? null : less / 1200,
      rebound_m3: 420,
      day_reduction_m3: less === null ? null : less - 420,
      is_claimed: less !== null,
      saved: less === null ? '0' : (less * 1.15).toFixed(2),
    },
    receipt: 'draft',
    is_correction: false,
    settled_at: stamp(settledAt),
    version: 1,
    receipt_message: messageOf(
      less === null
        ? '**【避峰效果】**\n> 基准 3,840 m³，读数缺 1 小时，无法核算，本次不计削减量。'
        : `**【避峰效果】**\n> 基准 3,840 m³，实际 ${used} m³\n> 削减 ${less} m³（${Math.round((100 * less) / 3840)}%），避免市场化支出约 ${Math.round(less * 1.15)} 元。感谢配合！`,
    ),
  }
}

/** Suggestions of the day before yesterday, as they were settled. */
function settledNudges(like) {
  const { day, at } = clock()
  const event = addDays(day, -2)
  const from = gasDayStart(event) + 9 * HOUR_MS
  return ['reduced', 'incomplete'].map((outcome, index) => {
    const id = `N-${event}-${index + 1}`
    return {
      ...like[index],
      id,
      state: index === 0 ? 'replied' : 'sent',
      stage: 'settled',
      day: event,
      window_from: stamp(from),
      window_to: stamp(from + 4 * HOUR_MS),
      created_at: stamp(from - 20 * HOUR_MS),
      send_after: stamp(from - 20 * HOUR_MS),
      expires_at: stamp(from - 2 * HOUR_MS),
      reply: index === 0 ? { answer: 'yes', m3h: null, note: '晚班推迟升温', who: '王磊', at: stamp(from - 5 * HOUR_MS) } : null,
      settlement: settlementOf(id, like[index].customer, event, at - 2 * HOUR_MS, outcome),
    }
  })
}

/** A nomination of a gas day: one contract for each source; tomorrow's is new, today's is approved. */
function nomination(day) {
  const { day: today, at } = clock()
  const isNew = day > today
  const forecast = (m3) => ({ p10_m3: Math.round(m3 * 0.96), p50_m3: m3, p90_m3: Math.round(m3 * 1.05) })
  const lines = SOURCES.map((source) => {
    const nominated = NOMINATED[source.key] + (isNew ? 12_345 : 0)
    return {
      contract: `HT-${source.key}`,
      supplier: source.supplier,
      source: source.key,
      source_class: source.class,
      delivery_point: source.delivery_point,
      components: '',
      forecast: forecast(nominated),
      p5_m3: Math.round(nominated * 0.95),
      p95_m3: Math.round(nominated * 1.06),
      quantile: 0.6,
      suggested_m3: nominated,
      nominated_m3: nominated,
      approved_m3: isNew ? null : nominated,
      changed_m3: null,
      reapproved_m3: null,
      change_reason: null,
      delivered_m3: null,
      delivered_yesterday_m3: nominated - 4_000,
      today_m3: nominated,
      month_average_m3: nominated,
      remaining_average_m3: nominated - 9_000,
      makeup_m3: 0,
      take_min_m3: 0,
      take_max_m3: null,
      flow_max_m3h: null,
      hours_m3: wholeParts(Array.from({ length: 24 }, () => nominated / 24)),
      reason_zh: '超提较贵,取第60百分位',
      reason_en: 'over-take costs more: the 60th percentile',
      remark: '',
    }
  })
  return {
    nomination_no: `RZ-${day.replaceAll('-', '')}-豫南燃气-1`,
    day,
    version: 1,
    submission_no: 1,
    sent_at: isNew ? null : stamp(gasDayStart(day) - 19 * HOUR_MS),
    submissions: isNew ? [] : [{ version: 1, submission_no: 1, sent_at: stamp(gasDayStart(day) - 19 * HOUR_MS), person: '调度长', reason: '平台上报' }],
    reference: { temperature_c: 20, pressure_kpa: 101.325 },
    status: !isNew ? 'approved' : sentByHand.has(`nominations ${day}`) ? 'sent' : 'new',
    company: '豫南城市燃气有限公司',
    company_short: '豫南燃气',
    prepared_by: '系统',
    made_at: stamp(at - 2 * HOUR_MS),
    due_at: stamp(gasDayStart(day) - 18 * HOUR_MS),
    due_hard_at: stamp(gasDayStart(day) - 17 * HOUR_MS),
    change_due_at: stamp(gasDayStart(day) + 12 * HOUR_MS),
    period_from: stamp(gasDayStart(day)),
    period_to: stamp(gasDayStart(addDays(day, 1))),
    forecast: forecast(dayTotal(day)),
    forecast_run: 'fixture',
    registry_version: 'r-20261120-2',
    expected_yuan: 0,
    lines,
    checks: [
      {
        contract: `HT-${SOURCES[0].key}`,
        code: 'nomination.remaining_average',
        is_error: false,
        message_zh: '剩余合同日均52.1000万m³超出日提取范围33.0000–51.7000万m³',
        message_en: 'the remaining average of 521000 m³ lies outside the daily take of 330000 to 517000 m³',
      },
    ],
  }
}

function nudges() {
  const { day, at } = clock()
  const tomorrow = addDays(day, 1)
  const names = ['华宇陶瓷有限公司', '鼎盛食品有限公司', '新星汽车零部件公司']
  const from = gasDayStart(tomorrow) + 9 * HOUR_MS
  const made = names.map((name, index) => {
    const ask = 300 - index * 80
    return {
      id: `N-${tomorrow}-${index + 1}`,
      kind: 'day_ahead_peak',
      state: index === 2 ? 'sent' : 'draft',
      stage: index === 2 ? 'sent' : 'draft',
      message: messageOf(`**【避峰用气建议】${name}**\n> 建议：时段内降低约 ${ask} m³/h\n回复 1=可以 2=部分可以(注明气量) 3=不便。自愿参与，安全生产优先。`),
      settlement: null,
      reply: null,
      customer: `3100${10417 + index * 37}`,
      name,
      contact_group: `${name}用气服务群`,
      grid: '高新区',
      account_manager: '王磊',
      day: tomorrow,
      window_from: stamp(from),
      window_to: stamp(from + 4 * HOUR_MS),
      reason: index === 1 ? 'above_nomination' : 'above_recent_peaks',
      city_day_m3: dayTotal(tomorrow),
      temperature_c: meanTemperature(tomorrow),
      baseline: { customer: name, method: '10-of-10', day: tomorrow, from_hour: 9, hours_m3h: [958, 962, 966, 954] },
      ask_m3h: ask,
      flow_min_safe_m3h: 400,
      avoided_m3: ask * 4,
      price_gap: '1.1500',
      benefit: (ask * 4 * 1.15).toFixed(2),
      formula: 'NB-1',
      forecast_run: '01JD4Y6T8QZK3M5R7V9XBCDFGH',
      created_at: stamp(at - 30 * 60_000),
      send_after: stamp(at),
      expires_at: stamp(from - 2 * HOUR_MS),
    }
  })
  return [...made, ...settledNudges(made)]
}

function json(response, value, status = 200, type = 'application/json') {
  response.writeHead(status, { 'content-type': `${type}; charset=utf-8`, 'cache-control': 'no-store' })
  response.end(JSON.stringify(value))
}

function problem(response, status, code, detail) {
  json(response, { type: 'about:blank', title: 'the request cannot be answered', status, detail, code, reference: 'ref-7f3a21' }, status, 'application/problem+json')
}

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' }
const POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
const dist = fileURLToPath(new URL('../dist/', import.meta.url))

function file(response, path) {
  const asked = normalize(join(dist, path))
  const found = asked.startsWith(dist) && existsSync(asked) && statSync(asked).isFile() ? asked : join(dist, 'index.html')
  if (!existsSync(found)) return problem(response, 404, 'console.not_built', 'run `npm run build` first, or use `npm run dev`')
  // The daemon's own policy, so that a build that breaks it fails here.
  response.writeHead(200, { 'content-type': TYPES[extname(found)] ?? 'application/octet-stream', 'content-security-policy': POLICY })
  createReadStream(found).pipe(response)
}

/** Set by `POST /__fixture/fail?times=n`: the next answers are problems, to see the error states. */
let failures = 0

/** One way of each kind, one of them away. */
function collection() {
  return {
    brokers: [
      {
        name: 'emqx',
        address: '10.0.0.8:1883',
        is_connected: true,
        is_subscribed: true,
        connects: 1,
        received: 184_211,
        redelivered: 12,
        acknowledged: 184_207,
        sessions_lost: 0,
        last_error: null,
        last_notice: null,
      },
    ],
    listener: { connected: 148, accepted: 151, refused: 2, slowed: 0, received: 40_120, acknowledged: 40_120, last_error: null },
    gateways: [
      {
        gateway: 'gw-07',
        address: '10.0.7.2:502',
        is_connected: true,
        connects: 3,
        errors: 2,
        last_error: 'connection refused',
        last_error_at: stamp(now() - 4 * HOUR_MS),
        meters: 6,
        polls: 8_640,
        retries: 31,
        failed_polls: 12,
        failing: [{ meter: 'GW07-4', unit: 4, failures_in_row: 12, last_poll_at: stamp(now() - HOUR_MS), last_error: 'no answer within 900 ms' }],
      },
    ],
  }
}

/** Two frames with the same reason. */
function rejects() {
  return [1, 2].map((id) => ({
    id,
    received_at: stamp(now() - id * HOUR_MS),
    transport: 'mqtt',
    origin: 'gas/xy/gw-07/TX-4/up/reading',
    device: 'TX-4',
    code: 'decode.truncated',
    message_zh: '帧不完整,已存入拒收',
    message_en: 'the frame ends after 9 of 22 bytes',
    size_bytes: 9,
    payload_hex: '684d150000112233aa',
    times: id,
  }))
}

/** Decisions that were taken here, and a meter's day they stand in: a gap bounded by totals, one that is not. */
const edits = []
function meterCurve(meter, day) {
  if (meter === 'M-SILENT') {
    const of = (value) => Array.from({ length: 24 }, () => value)
    const silent = { day, hours_m3: of(null), quality: of('missing'), method: of('E4'), uncertainty_m3: of('1.7000'), estimates_m3: of('10.0000'), store: 'estimated' }
    return { meter, days: [silent], pending: [], missing: null }
  }
  const hours = Array.from({ length: 24 }, (_, hour) => (118 + ((hour * 37) % 29) + (hour > 8 && hour < 14 ? 22 : 0)).toFixed(4))
  const quality = hours.map((_, hour) => (hour >= 5 && hour < 8 ? 'estimated' : hour >= 14 && hour < 17 ? 'missing' : 'measured'))
  const method = quality.map((of) => (of === 'estimated' ? 'E1' : of === 'missing' ? 'E4' : null))
  const uncertainty_m3 = quality.map((of, hour) => (of === 'measured' ? null : (Number(hours[hour]) * (of === 'missing' ? 0.17 : 0.12)).toFixed(4)))
  const estimates_m3 = quality.map((of, hour) => (of === 'missing' ? hours[hour] : null))
  const hours_m3 = hours.map((m3, hour) => (quality[hour] === 'missing' ? null : m3))
  for (const edit of edits) {
    if (edit.revoked_at !== null || edit.meter !== meter || edit.day !== day) continue
    for (const [hour, m3] of Object.entries(edit.hours_m3)) {
      hours_m3[hour] = Number(m3).toFixed(4)
      quality[hour] = 'edited'
      method[hour] = 'E10'
      uncertainty_m3[hour] = (Number(m3) / 10).toFixed(4)
      estimates_m3[hour] = null
    }
  }
  return { meter, days: [{ day, hours_m3, quality, method, uncertainty_m3, estimates_m3, store: 'journal' }], pending: [], missing: null }
}

/** Two zones: one whose pipes are known, one with a meter that never reported. */
function balance(query) {
  const ratio = (part, gate) => (part === null ? null : part / gate)
  const text = (m3) => (m3 === null ? null : m3.toFixed(4))
  const row = (zone, name, gate, metered, filled, normalised, pack, silent) => {
    const unaccounted = gate - metered - filled
    const less = pack === null ? null : unaccounted - pack
    return {
      zone,
      name,
      days: zone === null ? 59 : zone === 'north' ? 30 : 29,
      gate_m3: text(gate),
      metered_m3: text(metered),
      filled_m3: text(filled),
      filled_days: filled > 0 ? 14 : 0,
      silent_meters: silent,
      unaccounted_m3: text(unaccounted),
      unaccounted_ratio: ratio(unaccounted, gate),
      unaccounted_normalised_m3: text(normalised),
      unaccounted_normalised_ratio: ratio(normalised, gate),
      line_pack_m3: text(pack),
      line_pack_days: pack === null ? 0 : 30,
      unaccounted_less_pack_m3: text(less),
      unaccounted_less_pack_ratio: ratio(less, gate),
    }
  }
  const zones = [
    row('north', '北区', 9_814_220.5, 9_388_114.25, 201_880, 61_204.5, -48_220.75, 0),
    row('south', '南区', 7_402_116, 7_291_402.5, 0, 96_500, null, 1),
  ]
  const total = row(null, '合计', 17_216_336.5, 16_679_516.75, 201_880, 157_704.5, -48_220.75, 1)
  const meter = (id, customer, days, measured, filled_days, filled) => ({
    meter: id,
    customer,
    days,
    measured_m3: text(measured),
    filled_days,
    filled_m3: text(filled),
    normalised_m3: days === 0 ? null : text(customer === null ? measured : measured * 1.012),
  })
  const zone = query.get('zone')
  const span = { from: query.get('from'), to: query.get('to') }
  if (zone === null) return { ...span, rows: [...zones, total], gates: [], meters: [], meters_more: 0 }
  return {
    ...span,
    rows: zones.filter((one) => one.zone === zone),
    gates: [meter('M-GATE-1', null, 30, 6_114_220.25, 0, 0), meter('M-GATE-2', null, 30, 3_700_000.25, 0, 0)],
    meters: [
      meter('M-10560-1', '华宇陶瓷有限公司', 30, 2_104_330.5, 0, 0),
      meter('M-10561-1', '百川热电', 16, 1_820_400, 14, 201_880),
      meter('M-10562-1', '锦江酒店', 0, 0, 30, null),
    ],
    meters_more: 1_204,
  }
}

function correctors() {
  const row = (meter, factor, factor_expected, findings) => ({ meter, zone: 'north', readings: 168, factor, factor_expected, findings, error: null })
  const base = {
    kind: 'factor',
    message_zh: '按0 ℃修正(应为20 ℃):系数偏差 -6.82 %,2026-11-19 18:00 至 2026-11-21 18:00 共 49 条读数',
    message_en: 'converts to 0 °C instead of 20 °C: factor -6.82 % off, 49 reading(s) from 2026-11-19 18:00 to 2026-11-21 18:00',
    from: stamp(now() - 48 * HOUR_MS),
    to: stamp(now()),
    readings: 49,
    ratio: 0.9318,
  }
  return { days: 7, rows: [row('M-10560-1', 3.9716, 4.2622, [base]), row('M-10561-1', 2.9611, 2.9608, [])], next_after: null }
}

/** Plans and production changes that were entered in this server's life. */
const planEntries = []
const changes = []
const monthDays = (month) => Array.from({ length: 31 }, (_, index) => `${month}-${String(index + 1).padStart(2, '0')}`).filter((that) => addDays(that, 0) === that)
const enteredPlan = (account, day) => planEntries.flatMap((entry) => entry.rows).findLast((row) => row.customer === account && row.day === day)
const known = (account) => ledger().find(({ row }) => row.account_no === account)
function planOn(entry, day) {
  const said = enteredPlan(entry.row.account_no, day)
  if (said) return said.m3
  // The next month is not filed by everybody yet.
  const isFiled = entry.row.plan_m3 !== null && (day.slice(0, 7) === clock().day.slice(0, 7) || Number(entry.row.account_no.slice(-1)) < 4)
  return isFiled ? entry.row.plan_m3 : null
}
const usedOn = (entry, day) => entry.profile.days.find((one) => one.day === day)?.m3 ?? null
function planBoard(month) {
  const days = monthDays(month)
  const total = (values) => (values.length === 0 ? null : sum(values.map(Number)).toFixed(4))
  const rows = ledger().map((entry) => {
    const plans = days.map((day) => planOn(entry, day))
    const used = days.map((day) => usedOn(entry, day))
    const both = days.map((_, at) => at).filter((at) => plans[at] !== null && used[at] !== null)
    const planned = sum(both.map((at) => Number(plans[at])))
    const filed = plans.filter((plan) => plan !== null)
    const seen = used.filter((m3) => m3 !== null)
    return {
      customer: entry.row.account_no,
      name: entry.row.name,
      is_on_ledger: true,
      days_filed: filed.length,
      plan_m3: total(filed),
      days_used: seen.length,
      used_m3: total(seen),
      deviation_ratio: planned > 0 ? sum(both.map((at) => used[at])) / planned - 1 : null,
      filed_at: filed.length === 0 ? null : stamp(now() - 5 * 24 * HOUR_MS),
      changes: changes.filter((change) => change.customer === entry.row.account_no && change.state !== 'withdrawn').length,
    }
  })
  return { month, days: days.length, rows: rows.sort((a, b) => Number(a.days_filed > 0) - Number(b.days_filed > 0) || Number(b.plan_m3) - Number(a.plan_m3)) }
}
function customerPlans(account, from, to) {
  const entry = known(account)
  const days = monthDays(from.slice(0, 7)).filter((day) => from <= day && day <= to)
  const entries = planEntries.filter((one) => one.rows.some((row) => row.customer === account))
  return {
    customer: account,
    name: entry.row.name,
    days: days.map((day) => {
      const plan_m3 = planOn(entry, day)
      const said = enteredPlan(account, day)
      return { day, plan_m3, origin: plan_m3 === null ? null : said ? 'entry' : 'file', entry: null, available_at: plan_m3 === null ? null : stamp(now()), words: said ? 2 : 1, used_m3: usedOn(entry, day)?.toFixed(4) ?? null }
    }),
    entries: entries.map(({ id, at, person, source, reason, file, rows }) => ({ id, at, person, source, reason, file, days: rows.filter((row) => row.customer === account).length })).reverse(),
  }
}
/** What becomes of plans; a customer that is not known is a problem. */
function planReport(rows, by, isDry) {
  const views = rows.map((row, index) => {
    const entry = known(row.customer)
    const before_m3 = entry ? planOn(entry, row.day) : null
    const outcome = !entry ? 'problem' : row.m3 === before_m3 ? 'unchanged' : row.m3 === null ? 'withdrawn' : before_m3 === null ? 'new' : 'changed'
    const problem = entry ? null : { zh: `没有户号为「${row.customer}」的用户;请核对用户档案 customers.csv`, en: `no customer has the account number \`${row.customer}\`; see customers.csv` }
    return { place: row.place ?? String(index + 1), customer: row.customer, day: row.day, m3: row.m3, before_m3, outcome, problem }
  })
  const counts = {}
  for (const { outcome } of views) counts[outcome] = (counts[outcome] ?? 0) + 1
  const accounts = [...new Set(views.filter((view) => view.problem === null && view.m3 !== null).map((view) => view.customer))]
  const customers = accounts.map((account) => {
    const own = views.filter((view) => view.customer === account)
    const entry = known(account)
    const total = sum(own.map((view) => Number(view.m3)))
    const before = own.filter((view) => view.before_m3 !== null)
    const used = entry.profile.days.slice(-30).filter((day) => day.m3 !== null)
    return { customer: account, name: entry.row.name, days: own.length, first_on: own[0].day, last_on: own.at(-1).day, total_m3: total.toFixed(4), before_m3: before.length === 0 ? null : sum(before.map((view) => Number(view.before_m3))).toFixed(4), mean_m3: total / own.length, used_mean_m3: sum(used.map((day) => day.m3)) / used.length }
  })
  const isTaken = !isDry && !counts.problem
  const id = isTaken ? `P${planEntries.length + 1}` : null
  if (isTaken) planEntries.push({ id, at: stamp(now()), rows, ...by })
  return { is_taken: isTaken, entry: id, available_at: isTaken ? stamp(now()) : null, problem: null, unused_columns: [], counts, customers, rows: views.sort((a, b) => Number(b.problem !== null) - Number(a.problem !== null)) }
}
async function filePlans(request, response, url) {
  if (url.pathname.endsWith('/import')) {
    // A fixture's table: `customer,day,m3`, a header and rows.
    let text = ''
    for await (const chunk of request) text += chunk
    const lines = text.trim().split(/\r?\n/).slice(1).map((line) => line.split(','))
    const rows = lines.map(([customer, day, m3], index) => ({ customer, day, m3: Number(m3).toFixed(4), place: `C${index + 2}` }))
    const said = (key) => url.searchParams.get(key) ?? ''
    return json(response, planReport(rows, { person: said('person'), source: said('source'), reason: said('reason'), file: said('file') }, said('dry_run') === 'true'))
  }
  const { rows, dry_run, ...by } = await bodyOf(request)
  return json(response, planReport(rows.map((row) => ({ ...row, m3: row.m3 === null ? null : Number(row.m3).toFixed(4) })), { ...by, file: null }, dry_run))
}
async function enterChange(request, response, path) {
  const body = await bodyOf(request)
  const id = /production-changes\/(.+)$/.exec(path)?.[1]
  const of = changes.find((change) => change.id === id)
  if (id !== undefined && of === undefined) return problem(response, 404, 'filing.change_missing', 'there is no such production change')
  if (of !== undefined && body.version !== null && body.version !== of.version) return problem(response, 409, 'filing.newer', `${of.person} made version ${of.version} of it meanwhile (${of.reason}); look at it and correct again`)
  if (body.change?.kind === 'shutdown' && body.change.delta_m3_per_day > 0) return problem(response, 422, 'filing.change_sign', '停产检修 (+100 m³/d): less is written with a minus, more without; mend the sign or the kind')
  if (of !== undefined) {
    Object.assign(of, { person: body.person, reason: body.reason, version: of.version + 1, available_at: stamp(now()) }, body.change ? { change: body.change } : { state: 'withdrawn' })
    return json(response, of)
  }
  const entry = known(body.customer)
  if (!entry) return problem(response, 404, 'filing.customer_unknown', `no customer has the account number \`${body.customer}\``)
  changes.unshift({ id: `B${changes.length + 1}`, origin: 'entry', customer: body.customer, name: entry.row.name, change: body.change, state: body.change.from_on > clock().day ? 'planned' : 'active', available_at: stamp(now()), person: body.person, reason: body.reason, version: 1 })
  return json(response, changes[0])
}

async function bodyOf(request) {
  let text = ''
  for await (const chunk of request) text += chunk
  return JSON.parse(text)
}

/** What was marked as sent: kind and key. */
const sentByHand = new Set()
async function markSent(request, response, kind, key) {
  const { person, reason } = await bodyOf(request)
  if (person === '' || person === 'qiliang' || reason === '') return problem(response, 422, 'plan.sent_by_nobody', 'say who sent it and how')
  if (sentByHand.has(`${kind} ${key}`)) return problem(response, 422, 'plan.sent_already', `${key} was sent already`)
  sentByHand.add(`${kind} ${key}`)
  return json(response, kind === 'nominations' ? nomination(key) : {})
}

async function decide(request, response, path) {
  const body = await bodyOf(request)
  const id = /curve-edits\/(\d+)\/revoke$/.exec(path)?.[1]
  if (id === undefined) {
    if (body.reason === '拒绝') return problem(response, 422, 'edit.refused', 'hour 3 cannot have -1 m³; gas does not flow back')
    edits.push({ id: edits.length + 1, ...body, at: stamp(now()), revoked_by: null, revoke_reason: null, revoked_at: null })
    return json(response, edits.at(-1))
  }
  const edit = edits.find((one) => one.id === Number(id))
  if (edit === undefined || edit.revoked_at !== null) return problem(response, 422, 'edit.refused', `decision ${id} was taken back already`)
  Object.assign(edit, { revoked_by: body.who, revoke_reason: body.reason, revoked_at: stamp(now()) })
  return json(response, edit)
}

const RULES = [
  ['V07', '小时用气尖峰', 'spike', 'suspect', '一小时用气 96.0 m³,当日第三大小时为 12.0 m³,中位数 11.5 m³', '96.0 m³ in one hour, 12.0 m³ in the third largest of the day, median 11.5 m³'],
  ['V21', '数据缺口', 'gap', 'info', '3 小时没有累计量,应每 1 小时一次', 'no total for 3 h, expected every 1 h'],
  ['V04', '累计量倒走', 'decreasing total', 'fail', '累计量由 5000 m³ 倒退到 4000 m³', 'the total went back from 5000 m³ to 4000 m³'],
]
function findingRows(query) {
  return RULES.flatMap(([rule, , , severity, message_zh, message_en], place) =>
    Array.from({ length: 3 - place }, (_, back) => ({
      at: stamp(now() - (back * 24 + place) * HOUR_MS),
      rule,
      severity,
      subject_kind: 'meter',
      subject: `M-1056${place}-1`,
      message_zh,
      message_en,
      values: [],
    })),
  ).filter((row) => ['rule', 'severity'].every((key) => (query.get(key) ?? row[key]) === row[key]) && (query.get('meter') ?? row.subject) === row.subject)
}
function findingStats(query) {
  const [from, to] = [query.get('from'), query.get('to')]
  const days = Math.round((Date.parse(to) - Date.parse(from)) / 86_400_000) + 1
  const row = ([rule, name_zh, name_en], place) => ({
    rule,
    name_zh,
    name_en,
    class: null,
    zone: null,
    findings: 3 - place,
    subjects: 1,
    meter_days: 27_600,
    share: (3 - place) / 27_600,
    trend: place === 0 ? null : 0.5,
    by_day: Array.from({ length: days }, (_, index) => (index >= days - 3 + place ? 1 : 0)),
  })
  return { from, to, rows: RULES.map(row) }
}
function restatements() {
  const day = addDays(clock().day, -6)
  const row = (kind, document, before_m3, after_m3, cause) => ({ day, zone: 'north', class: 'industrial', kind, document, version: 2, before_m3, after_m3, difference_m3: after_m3 - before_m3, at: stamp(now() - HOUR_MS), cause })
  return [row('declaration', '2026-12', 182_400, 183_950, 'readings'), row('nomination', addDays(day, 1), 182_400, 181_002, 'decision')]
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://fixture')
  const path = url.pathname
  if (path === '/__fixture/fail') {
    failures = Number(url.searchParams.get('times') ?? 1)
    return json(response, { failures })
  }
  if (path === '/__fixture/drop') {
    for (const stream of streams) stream.destroy()
    return json(response, {})
  }
  if (!path.startsWith('/api/')) return file(response, path)
  if (failures > 0 && path !== '/api/v1/live') {
    failures -= 1
    return problem(response, 503, 'serve.store_failed', 'the journal is being checked; ask again in a minute')
  }
  if (path === '/api/v1/live') {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    response.write(`event: overview\ndata: ${JSON.stringify(live())}\n\n`)
    streams.add(response)
    request.on('close', () => streams.delete(response))
    return undefined
  }
  if (path === '/api/v1/overview') return json(response, overview())
  if (path === '/api/v1/notices') return json(response, notices.slice(0, Number(url.searchParams.get('limit') ?? 50)))
  const beside = outlook(path, url.searchParams)
  if (beside !== undefined) return json(response, beside)
  if (path === '/api/v1/forecast/explain') {
    const view = forecast(new URLSearchParams({ horizon: 'daily', by: 'total' }))
    const days = view.total.slice(0, 31).map((point, at) => {
      const moved = { temperature_m3: 30_000 - 900 * at, calendar_m3: 0, plans_m3: -1_000, level_m3: 2_000, other_m3: 0 }
      const newer_m3 = point.band.p50_m3
      return {
        gas_day: point.gas_day,
        older_m3: newer_m3 - sum(Object.values(moved)),
        newer_m3,
        ...moved,
        sentence_zh: `${point.gas_day}:预测变化,其中气温(-5.0℃)`,
        sentence_en: `${point.gas_day}: changed, of which temperature (-5.0 K)`,
      }
    })
    return json(response, { older: url.searchParams.get('older'), newer: url.searchParams.get('newer'), days })
  }
  const made = /^\/api\/v1\/forecast\/runs\/([^/]+)\/reproduction$/.exec(path)
  if (made) {
    const digest = 'ab'.repeat(32)
    return json(response, { run_id: made[1], is_identical: true, kept: digest, made: digest, differences: [], changed_since: [{ zh: '2026-10 的用气量:1 个节点日有变,合计 +240 m³', en: 'demand 2026-10: 1 node-days changed, +240 m³ together' }] })
  }
  if (path === '/api/v1/forecast/runs') {
    const { at, day } = clock()
    return json(
      response,
      Array.from({ length: 6 }, (_, back) => ({
        run_id: `01JD4Y6T8QZK3M5R7V9XBCD${String(100 - back)}`,
        origin_at: stamp(at - back * 6 * HOUR_MS),
        days: 62,
        total_tomorrow: band(dayTotal(addDays(day, 1)) * (1 + back * 0.004), 0.05),
      })),
    )
  }
  if (path === '/api/v1/forecast/months') return json(response, months(url.searchParams))
  if (path === '/api/v1/forecast') return json(response, forecast(url.searchParams))
  if (path === '/api/v1/ledger') return json(response, { as_of: stamp(now()), rows: ledger().map(({ row }) => row) })
  if (path.endsWith('.xlsx')) {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-disposition': 'attachment; filename="fixture.xlsx"' })
    return response.end('fixture')
  }
  if (path.startsWith('/api/v1/ledger/')) {
    const account = decodeURIComponent(path.slice('/api/v1/ledger/'.length))
    const entry = ledger().find(({ row }) => row.account_no === account)
    return entry ? json(response, entry.profile) : problem(response, 404, 'ledger.unknown_account', `no enterprise \`${account}\` is on the ledger; check the account number`)
  }
  const curveOf = /^\/api\/v1\/meters\/([^/]+)\/curve$/.exec(path)?.[1]
  if (curveOf !== undefined) {
    const meter = decodeURIComponent(curveOf)
    if (!meter.startsWith('M')) return problem(response, 404, 'registry.unknown_meter', 'the registry has no such meter; meters.csv lists them')
    return json(response, meterCurve(meter, url.searchParams.get('to')))
  }
  if (path.startsWith('/api/v1/curve-edits') && request.method === 'POST') return decide(request, response, path)
  if (path === '/api/v1/curve-edits') return json(response, edits.filter((edit) => edit.meter === url.searchParams.get('meter')))
  if (path.startsWith('/api/v1/filed-plans') && request.method === 'POST') return filePlans(request, response, url)
  if (path === '/api/v1/filed-plans') return json(response, planBoard(url.searchParams.get('month') ?? clock().day.slice(0, 7)))
  if (path.startsWith('/api/v1/filed-plans/')) {
    const account = decodeURIComponent(path.slice('/api/v1/filed-plans/'.length))
    if (!known(account)) return problem(response, 404, 'filing.customer_unknown', `no customer has the account number \`${account}\``)
    return json(response, customerPlans(account, url.searchParams.get('from'), url.searchParams.get('to')))
  }
  if (path.startsWith('/api/v1/production-changes') && request.method === 'POST') return enterChange(request, response, path)
  if (path === '/api/v1/production-changes') {
    const [customer, isAll] = [url.searchParams.get('customer'), url.searchParams.get('all') === 'true']
    return json(response, changes.filter((change) => (customer === null || change.customer === customer) && (isAll || change.state !== 'withdrawn')))
  }
  if (path === '/api/v1/findings') return json(response, findingRows(url.searchParams))
  if (path === '/api/v1/findings/stats') return json(response, findingStats(url.searchParams))
  if (path === '/api/v1/balance') return json(response, balance(url.searchParams))
  if (path === '/api/v1/correctors') return json(response, correctors())
  if (path === '/api/v1/restatements') return json(response, restatements())
  if (path === '/api/v1/collection') return json(response, collection())
  if (path === '/api/v1/rejects') return json(response, rejects())
  if (path === '/api/v1/rejects/replay') return json(response, { accepted: 0, duplicate: 0, refused: [], unknown: [], next_after: null })
  const sentOf = /^\/api\/v1\/(declarations|nominations)\/([^/]+)\/sent$/.exec(path)
  if (sentOf && request.method === 'POST') return markSent(request, response, sentOf[1], sentOf[2])
  const nominated = /^\/api\/v1\/nominations\/(\d{4}-\d\d-\d\d)$/.exec(path)?.[1]
  if (nominated) return json(response, nomination(nominated))
  if (path === '/api/v1/declarations') return json(response, declarations())
  if (path.startsWith('/api/v1/declarations/')) return json(response, {})
  if (path === '/api/v1/nudges') return json(response, nudges())
  if (path.startsWith('/api/v1/nudges/')) return json(response, nudges().find((nudge) => path.endsWith(nudge.id)) ?? {})
  if (path === '/api/v1/nudge-opt-outs') return json(response, [{ customer: '310010454', is_opted_out: true, who: '王磊', reason: '来电要求不再发送', at: stamp(clock().at - 3 * 24 * HOUR_MS) }])
  if (path.startsWith('/api/v1/nominations/')) return json(response, nomination(path.split('/')[4]))
  if (path === '/api/v1/meta') {
    return json(response, { version: '0.1.0', classes: CLASSES, sources: SOURCES.map(({ key, name }) => ({ key, name_zh: name, name_en: name })), slots: SLOTS, zones: [['north', '北区'], ['Z1', '城北'], ['Z2', '城南']].map(([key, name]) => ({ key, name_zh: name, name_en: name })) })
  }
  return problem(response, 404, 'serve.unknown_route', `no such address: ${path}`)
})

server.listen(Number(process.env.PORT ?? 8788), '127.0.0.1', () => {
  console.log(`fixture server on http://127.0.0.1:${server.address().port}`)
})
