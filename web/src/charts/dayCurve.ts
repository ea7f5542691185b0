import type { CurveDay } from '@/api/types'
import { decimal, toNumber } from '@/format/number'
import { gasDayHours, hourLabel } from '@/format/time'
import type { EChartsCoreOption } from './echarts'
import type { Ink } from './palette'
import { axisOf, textOf, tipLine, tooltipOf } from './parts'

type Name = (group: 'quality' | 'method', code: string | null | undefined) => string

/** Bars are full where totals give the hour, pale where it is estimated, warm where a person decided. */
function colourOf(quality: string, hasOwn: boolean, ink: Ink): string {
  if (!hasOwn) return ink.contract
  if (quality === 'edited') return ink.over
  return quality === 'estimated' ? ink.naive : ink.actual
}

interface Api {
  value: (index: number) => number
  coord: (point: [number, number]) => [number, number]
}

/** A gas day of a meter by hour, with what an hour that is not measured may be off. */
export function dayCurveOption(day: CurveDay, startHour: number, ink: Ink, name: Name, unit: string): EChartsCoreOption {
  const labels = gasDayHours(startHour).map(hourLabel)
  const volumes = day.hours_m3.map((own, hour) => toNumber(own ?? day.estimates_m3[hour] ?? null))
  const whiskers = volumes.flatMap((volume, hour) => {
    const off = toNumber(day.uncertainty_m3[hour])
    return volume === null || off === null || off === 0 ? [] : [[hour, Math.max(0, volume - off), volume + off]]
  })
  return {
    textStyle: textOf(ink),
    grid: { left: 4, right: 10, top: 12, bottom: 2, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: {
      ...tooltipOf(ink),
      trigger: 'axis',
      formatter: (items: { dataIndex: number }[]) => {
        const hour = items[0]?.dataIndex ?? 0
        const off = day.uncertainty_m3[hour]
        const quality = day.quality[hour] ?? 'missing'
        const text = `${decimal(volumes[hour], 2)}${off ? ` ± ${decimal(off, 2)}` : ''} ${unit}`
        const method = day.method[hour]
        return `<div>${labels[hour]}:00</div>${tipLine(colourOf(quality, day.hours_m3[hour] !== null, ink), name('quality', quality), text)}${method ? `<div>${method} ${name('method', method)}</div>` : ''}`
      },
    },
    xAxis: { type: 'category', data: labels, ...axisOf(ink), splitLine: { show: false } },
    yAxis: { type: 'value', ...axisOf(ink), splitNumber: 4 },
    series: [
      {
        type: 'bar',
        barWidth: '70%',
        data: volumes.map((value, hour) => ({
          value,
          itemStyle: {
            color: colourOf(day.quality[hour] ?? 'missing', day.hours_m3[hour] !== null, ink),
            opacity: day.hours_m3[hour] === null ? 0.55 : 1,
          },
        })),
      },
      {
        type: 'custom',
        silent: true,
        z: 3,
        data: whiskers,
        renderItem: (_: unknown, api: Api) => {
          const [x, low] = api.coord([api.value(0), api.value(1)])
          const [, high] = api.coord([api.value(0), api.value(2)])
          const line = (x1: number, y1: number, x2: number, y2: number) => ({ type: 'line', shape: { x1, y1, x2, y2 }, style: { stroke: ink.declared, lineWidth: 1.4 } })
          return { type: 'group', children: [line(x, low, x, high), line(x - 4, low, x + 4, low), line(x - 4, high, x + 4, high)] }
        },
      },
    ],
  }
}
