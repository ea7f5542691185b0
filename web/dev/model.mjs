// A plausible city for the fixture server: figures hang together (hours sum to days, sources and
// classes sum to the total), so that what looks wrong on screen is wrong in the console.

/** Small generator with a seed (mulberry32): the same city at every start. */
export function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296
  }
}

/** Shares of the civil hours 00…23. */
const SHAPES = {
  residential_cooking: [10, 7, 6, 6, 10, 25, 55, 60, 45, 35, 40, 65, 60, 35, 28, 28, 40, 75, 95, 85, 70, 55, 40, 25],
  residential_heating: [38, 37, 37, 37, 39, 43, 48, 49, 45, 41, 38, 36, 35, 34, 34, 35, 38, 43, 49, 51, 51, 49, 46, 41],
  commercial: [8, 5, 4, 4, 6, 12, 25, 35, 40, 50, 70, 95, 85, 45, 25, 25, 45, 85, 100, 90, 65, 40, 25, 16],
  industrial: [35, 35, 34, 34, 35, 37, 41, 45, 48, 49, 49, 47, 44, 47, 49, 49, 48, 46, 43, 39, 37, 37, 36, 36],
  public_service: [14, 13, 13, 13, 17, 32, 65, 69, 55, 51, 60, 79, 65, 42, 36, 37, 46, 69, 65, 46, 37, 32, 26, 19],
  vehicle_cng: [15, 10, 8, 8, 15, 36, 56, 61, 56, 51, 49, 51, 53, 49, 46, 46, 51, 56, 59, 56, 51, 46, 41, 29],
}

export const CLASSES = [
  { key: 'residential_cooking', share: 0.2, name_zh: '居民(非采暖)', name_en: 'Residential' },
  { key: 'residential_heating', share: 0.29, name_zh: '居民采暖(壁挂炉)', name_en: 'Home heating' },
  { key: 'industrial', share: 0.32, name_zh: '工业', name_en: 'Industrial' },
  { key: 'commercial', share: 0.1, name_zh: '商业', name_en: 'Commercial' },
  { key: 'public_service', share: 0.05, name_zh: '公福(非居)', name_en: 'Public service' },
  { key: 'vehicle_cng', share: 0.04, name_zh: '车用CNG', name_en: 'Vehicle CNG' },
]

export const SOURCES = [
  { key: 'xiqi2', share: 0.58, name: '西气东输二线', class: 'pipeline_regulated', supplier: '国家管网·中石油', delivery_point: '北郊门站', dcq: 325_000 },
  { key: 'zhonghua', share: 0.3, name: '忠武线', class: 'pipeline_unregulated', supplier: '中石化', delivery_point: '南郊门站', dcq: 168_000 },
  { key: 'lng', share: 0.12, name: 'LNG储配站', class: 'lng', supplier: '广汇能源', delivery_point: '东区储配站', dcq: 66_000 },
]

export const SLOTS = [
  { key: 'night', name_zh: '谷', name_en: 'Off-peak night', from: 0, to: 5 },
  { key: 'early_peak', name_zh: '早峰', name_en: 'Morning peak', from: 5, to: 9 },
  { key: 'forenoon', name_zh: '平(上午)', name_en: 'Forenoon', from: 9, to: 11 },
  { key: 'noon_peak', name_zh: '午峰', name_en: 'Noon peak', from: 11, to: 13 },
  { key: 'afternoon', name_zh: '平(下午)', name_en: 'Afternoon', from: 13, to: 17 },
  { key: 'evening_peak', name_zh: '晚峰', name_en: 'Evening peak', from: 17, to: 22 },
  { key: 'late', name_zh: '平(夜间)', name_en: 'Late evening', from: 22, to: 24 },
]

export const START_HOUR = 8
const HOUR_MS = 3_600_000
const OFFSET_MS = 8 * HOUR_MS

const dayMs = (day) => Date.parse(`${day}T00:00:00Z`)
export const addDays = (day, days) => new Date(dayMs(day) + days * 86_400_000).toISOString().slice(0, 10)
export const stamp = (ms) => `${new Date(ms + OFFSET_MS).toISOString().slice(0, 19)}+08:00`
export const gasDayOf = (ms) => new Date(ms + OFFSET_MS - START_HOUR * HOUR_MS).toISOString().slice(0, 10)
export const gasDayStart = (day) => dayMs(day) + START_HOUR * HOUR_MS - OFFSET_MS
export const civilHour = (index) => (START_HOUR + index) % 24

const noiseOf = (text, spread) => {
  let seed = 2166136261
  for (const mark of text) seed = Math.imul(seed ^ mark.charCodeAt(0), 16777619)
  return 1 + (random(seed)() - 0.5) * 2 * spread
}

/** Mean temperature of a day: a winter that gets colder, with waves. */
export const meanTemperature = (day) => {
  const index = dayMs(day) / 86_400_000
  // Coldest in the middle of January; a wave of about three weeks on top.
  const season = 11 - 15 * Math.cos(((index - 14) / 365.25) * 2 * Math.PI)
  return Math.round((season - 5 - 5.5 * Math.sin((index - 20_776) / 3.3) + (noiseOf(day, 1) - 1) * 1.2) * 10) / 10
}

/** Whole m³ of the city on a gas day. */
function cityDay(day) {
  const cold = Math.max(0, 16 - meanTemperature(day))
  const weekend = [0, 6].includes(new Date(dayMs(day)).getUTCDay()) ? 0.955 : 1
  return Math.round((372_000 + 11_400 * cold) * weekend * noiseOf(day, 0.02))
}

/** Rounds parts to whole numbers that sum to the rounded total (largest remainder). */
export function wholeParts(parts) {
  const floors = parts.map(Math.floor)
  let rest = Math.round(parts.reduce((a, b) => a + b, 0)) - floors.reduce((a, b) => a + b, 0)
  const order = parts.map((part, index) => [part - floors[index], index]).sort((a, b) => b[0] - a[0])
  for (const [, index] of order) {
    if (rest <= 0) break
    floors[index] += 1
    rest -= 1
  }
  return floors
}

const cache = new Map()
/** hours[class][hour of the gas day], whole m³. */
export function cells(day) {
  let found = cache.get(day)
  if (found === undefined) {
    const total = cityDay(day)
    const parts = CLASSES.flatMap(({ key, share }) => {
      const shape = SHAPES[key]
      const sum = shape.reduce((a, b) => a + b, 0)
      return Array.from({ length: 24 }, (_, index) => (total * share * shape[civilHour(index)] * noiseOf(`${day}${key}${index}`, 0.03)) / sum)
    })
    const whole = wholeParts(parts)
    found = CLASSES.map((_, index) => whole.slice(index * 24, index * 24 + 24))
    cache.set(day, found)
  }
  return found
}

export const sum = (values) => values.reduce((a, b) => a + b, 0)
export const hourTotal = (day, index) => sum(cells(day).map((hours) => hours[index]))
export const dayTotal = (day) => sum(cells(day).map(sum))
/** Whole m³ of an hour by source; sums to the hour. */
export const hourBySource = (day, index) => wholeParts(SOURCES.map(({ share }) => hourTotal(day, index) * share))
export const band = (p50, spread) => ({ p10_m3: Math.round(p50 * (1 - spread)), p50_m3: Math.round(p50), p90_m3: Math.round(p50 * (1 + spread * 1.12)) })
