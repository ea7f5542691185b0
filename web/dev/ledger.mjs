import { addDays, civilHour, meanTemperature, random, stamp, sum } from './model.mjs'

const NAMES = [
  ['华宇陶瓷有限公司', '陶瓷制品制造', 'peaks'],
  ['信达玻璃股份有限公司', '玻璃制造', 'stable'],
  ['东方铝业有限公司', '铝压延加工', 'stable'],
  ['鼎盛食品有限公司', '食品制造', 'peaks'],
  ['瑞丰纺织印染厂', '印染精加工', 'intermittent'],
  ['恒通热力有限公司', '热力生产和供应', 'seasonal'],
  ['金牛化工有限公司', '基础化学原料', 'stable'],
  ['长江铸造有限公司', '黑色金属铸造', 'intermittent'],
  ['新星汽车零部件公司', '汽车零部件', 'peaks'],
  ['明珠酒店管理公司', '旅游饭店', 'peaks'],
  ['市第一人民医院', '医院', 'stable'],
  ['绿源纸业有限公司', '造纸', 'stable'],
  ['宏达建材有限公司', '砖瓦制造', 'intermittent'],
  ['天河啤酒厂', '酒的制造', 'seasonal'],
  ['蓝天加气站', '机动车燃气零售', 'peaks'],
  ['豫南不锈钢制品厂', '金属制品', 'intermittent'],
  ['中原耐火材料公司', '耐火材料', 'stable'],
  ['百味园调味品公司', '调味品制造', 'peaks'],
  ['科林生物制药公司', '化学药品制剂', 'stable'],
  ['大学城能源站', '热电联产', 'seasonal'],
]
const GRIDS = ['城东', '城西', '高新区', '经开区', '南湾']
const MANAGERS = ['王磊', '李娜', '张强', '陈静']

/** The ledger of 40 enterprises. */
export function buildLedger(gasDay, nowMs, progress) {
  const next = random(20261121)
  const pick = (list) => list[Math.floor(next() * list.length)]
  return Array.from({ length: 40 }, (_, index) => {
    const [base, industry, pattern] = NAMES[index % NAMES.length]
    const name = index < NAMES.length ? base : base.replace(/(有限公司|公司|厂|站)$/, '') + '二分厂'
    const size = Math.round(2500 + next() ** 2 * 48_000)
    const isFaulty = index === 7
    const days = Array.from({ length: 400 }, (_, back) => {
      const day = addDays(gasDay, back - 400)
      const cold = Math.max(0, 14 - meanTemperature(day))
      const weekend = [0, 6].includes(new Date(`${day}T00:00:00Z`).getUTCDay())
      const factor = pattern === 'seasonal' ? 0.35 + cold * 0.09 : pattern === 'intermittent' && weekend ? 0.25 : weekend ? 0.82 : 1
      const isMissing = isFaulty && back > 396
      return { day, m3: isMissing ? null : Math.round(size * factor * (0.94 + next() * 0.12)) }
    })
    const latest = days.slice(-30)
    const yesterday = days.at(-1).m3
    const shape = Array.from({ length: 24 }, (_, hour) => {
      const civil = civilHour(hour)
      return pattern === 'peaks' ? 0.4 + (civil >= 8 && civil < 20 ? 1 : 0) + next() * 0.1 : 0.92 + next() * 0.16
    })
    const shapeSum = sum(shape)
    const yesterdayHours = shape.map((part) => (yesterday === null ? null : Math.round((yesterday * part) / shapeSum)))
    const pace = index === 0 ? 1.62 : index === 4 ? 0.55 : 0.95 + next() * 0.1
    const todayHours = shape.map((part, hour) =>
      hour + 1 <= progress * 24 && !isFaulty ? Math.round(((yesterday ?? size) * pace * part * (0.97 + next() * 0.06)) / shapeSum) : null,
    )
    const todaySoFar = isFaulty ? null : sum(todayHours.filter((value) => value !== null))
    const plan = index % 9 === 5 ? null : Math.round(size / 50) * 50
    const deviation = yesterday === null || plan === null ? null : yesterday - plan
    const annual = Math.round((size * 350) / 10_000) * 10_000
    const ytd = Math.round(sum(days.slice(-325).map((item) => item.m3 ?? 0)))
    const tier = ytd >= 15_000_000 ? 'negotiated' : ytd >= 10_000_000 ? 'tier2' : ytd >= 5_000_000 ? 'tier1' : 'tier0'
    const bound = { tier0: 5_000_000, tier1: 10_000_000, tier2: 15_000_000, negotiated: null }[tier]
    const findings = []
    if (index === 0) findings.push({ code: 'A101', message_zh: '今日用量为昨日同时段的1.62倍(>1.5)', message_en: "today's use is 1.62 times yesterday's at this hour (> 1.5)", level: 'orange', due_at: stamp(nowMs + 20 * 3_600_000) })
    if (index === 4) findings.push({ code: 'A101', message_zh: '今日用量为昨日同时段的0.55倍(<0.667)', message_en: "today's use is 0.55 times yesterday's at this hour (< 0.667)", level: 'yellow', due_at: stamp(nowMs + 22 * 3_600_000) })
    if (isFaulty) findings.push({ code: 'A302', message_zh: '主表缺数38小时,已按寄存器两端估算', message_en: 'the main meter is silent for 38 hours; estimated between its totals', level: 'red', due_at: stamp(nowMs + 3 * 3_600_000) })
    if (deviation !== null && plan !== null && Math.abs(deviation / plan) > 0.05 && findings.length === 0 && index % 3 === 0)
      findings.push({ code: 'A103', message_zh: `实际与申报偏差${((deviation / plan) * 100).toFixed(1)}%(>±5%)`, message_en: `actual differs from the plan by ${((deviation / plan) * 100).toFixed(1)}% (> ±5%)`, level: 'blue', due_at: stamp(nowMs + 24 * 3_600_000) })
    const status = isFaulty ? 'abnormal' : findings.some((item) => item.level === 'orange') ? 'warning' : findings.length > 0 ? 'watch' : 'normal'
    const isHospital = name.includes('医院')
    const userClass = isHospital ? 'public_service' : name.includes('酒店') ? 'commercial' : name.includes('加气站') ? 'vehicle_cng' : name.includes('热力') ? 'district_heating' : name.includes('能源站') ? 'distributed_energy' : 'industrial'
    const row = {
      account_no: `3100${String(10417 + index * 37).padStart(6, '0')}`,
      name,
      industry,
      class: userClass,
      size_class: 'large',
      grid: pick(GRIDS),
      account_manager: pick(MANAGERS),
      contact_group: index % 6 === 0 ? '' : `${name.slice(0, 4)}用气服务群`,
      zone: index % 3 === 0 ? '南区' : '北区',
      basis: annual >= 5_000_000 ? '年用量 ≥ 500 万m³' : '设计流量 > 50 m³/h',
      completeness: 0.84 + next() * 0.16,
      contract_annual_m3: index % 11 === 9 ? null : String(annual),
      sale_mode: index % 13 === 3 ? 'agency' : 'direct',
      base_price_yuan_per_m3: '3.6800',
      price_tier: tier,
      agreed_discount_yuan_per_m3: { tier0: '0', tier1: '0.0500', tier2: '0.1000', negotiated: '0.1500' }[tier],
      discount_floor_yuan_per_m3: { tier0: '0', tier1: '0.0500', tier2: '0.1000', negotiated: null }[tier],
      year_to_date_m3: ytd.toFixed(2),
      year_days_unknown: isFaulty ? 2 : 0,
      to_next_tier_m3: bound === null ? null : (bound - ytd).toFixed(2),
      next_tier_on: bound !== null && (bound - ytd) / size < 60 ? addDays(gasDay, Math.ceil((bound - ytd) / size)) : null,
      is_interruptible: index % 5 === 0,
      protection_rank: isHospital ? 3 : index % 5 === 0 ? 9 : 8,
      flow_min_safe_m3h: index % 4 === 0 ? Math.round(size / 24 / 5) : 0,
      meter_count: 1 + Math.floor(next() * 3),
      main_meter: `M-${10417 + index * 37}-1`,
      meter_kind: size > 15_000 ? 'turbine' : index % 4 === 1 ? 'ultrasonic' : 'rotary',
      transport: index % 3 === 2 ? 'modbus' : 'mqtt',
      flow_max_m3h: Math.ceil(size / 12 / 10) * 10,
      latest_total_m3: isFaulty ? '1884213.40' : (2_000_000 + next() * 60_000_000).toFixed(2),
      latest_total_kind: index % 6 === 4 ? 'work' : 'std',
      latest_at: stamp(nowMs - (isFaulty ? 38 * 3_600_000 : Math.round(next() * 900_000))),
      data_completeness_7d: isFaulty ? 0.774 : 0.955 + next() * 0.045,
      shift: pattern === 'stable' ? 'three' : pattern === 'peaks' ? 'one' : 'two',
      pattern,
      temperature_sensitivity_m3_per_c: pattern === 'seasonal' ? -Math.round(size * 0.06) : index % 2 === 0 ? -Math.round(size * 0.002) : null,
      peak_share: 0.38 + next() * 0.2,
      load_factor: 0.4 + next() * 0.5,
      shiftable_m3_per_day: isHospital ? 0 : Math.round((size * next() * 0.15) / 10) * 10,
      yesterday_m3: yesterday === null ? null : yesterday.toFixed(2),
      today_so_far_m3: todaySoFar === null ? null : todaySoFar.toFixed(2),
      today_expected_m3: isFaulty ? null : Math.round((yesterday ?? size) * (0.5 + pace / 2)),
      plan_m3: plan === null ? null : String(plan),
      forecast: isFaulty ? null : { p10_m3: Math.round(size * 0.93), p50_m3: Math.round(size * 1.005), p90_m3: Math.round(size * 1.09) },
      deviation_m3: deviation === null ? null : deviation.toFixed(2),
      deviation_ratio: deviation === null || plan === null ? null : deviation / plan,
      day_on_day: yesterday === null ? null : yesterday / (days.at(-2).m3 ?? yesterday) - 1,
      year_on_year: yesterday === null ? null : yesterday / days.at(-366).m3 - 1,
      peak_hour_m3: yesterday === null ? null : Math.max(...yesterdayHours).toFixed(2),
      peak_slots_m3: yesterday === null ? null : (yesterday * 0.46).toFixed(2),
      month_to_date_m3: sum(days.slice(-20).map((item) => item.m3 ?? 0)).toFixed(2),
      month_days_unknown: isFaulty ? 2 : 0,
      month_plan_ratio: plan === null ? null : sum(days.slice(-20).map((item) => item.m3 ?? 0)) / (plan * 30),
      time_progress: (20 + progress) / 30,
      month_expected_deviation_m3: plan === null ? null : Math.round((next() - 0.45) * size * 3),
      status,
      findings,
      change:
        index === 2
          ? { kind: 'shutdown', from_on: addDays(gasDay, 3), to_on: addDays(gasDay, 12), delta_m3_per_day: -Math.round(size * 0.85), confidence: 0.9, source: '微信' }
          : index === 8
            ? { kind: 'expand', from_on: addDays(gasDay, 10), to_on: addDays(gasDay, 200), delta_m3_per_day: Math.round(size * 0.3), confidence: 0.7, source: '走访' }
            : null,
      quarter:
        index % 3 === 2
          ? null
          : {
              now: { workday_m3: size * (index === 3 ? 1.6 : 1), off_days_ratio: 0.8, idle_share: 0 },
              before: { workday_m3: size, off_days_ratio: index === 6 ? 0.3 : 0.8, idle_share: 0 },
              reasons: index === 3 ? ['level'] : index === 6 ? ['days_off'] : [],
            },
      off_peak:
        index % 4 === 0
          ? { willingness: ['willing', 'partly', 'unable', 'opted_out'][(index / 4) % 4], event_on: addDays(gasDay, -7), reduction_m3: Math.round(size * 0.04), performance_ratio: 0.72 + (index % 5) * 0.06, saved_yuan: (size * 0.046).toFixed(2), contacted_on: addDays(gasDay, -2) }
          : null,
      sparkline: latest.map((item) => item.m3),
    }
    return {
      row,
      profile: {
        row,
        days,
        yesterday_hours: yesterdayHours,
        today_hours: todayHours,
        temperature: days.slice(-120).filter((item) => item.m3 !== null).map((item) => ({ mean_c: meanTemperature(item.day), m3: item.m3 })),
      },
    }
  })
}
