import type { Ink } from './palette'

/** The text size of charts: the smallest allowed on screen. */
export const CHART_FONT_PX = 14

/** Fonts as in the page: ECharts draws on a canvas and does not inherit them. */
export const CHART_FONT = "'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"

export const textOf = (ink: Ink) => ({ color: ink.text, fontFamily: CHART_FONT, fontSize: CHART_FONT_PX })

export const tooltipOf = (ink: Ink) => ({
  confine: true,
  backgroundColor: ink.surface,
  borderColor: ink.line,
  textStyle: { ...textOf(ink), fontSize: CHART_FONT_PX },
})

export const axisOf = (ink: Ink) => ({
  axisLine: { lineStyle: { color: ink.line } },
  axisTick: { show: false },
  axisLabel: { color: ink.muted, fontSize: CHART_FONT_PX, fontFamily: CHART_FONT },
  splitLine: { lineStyle: { color: ink.line } },
  nameTextStyle: { color: ink.muted, fontSize: CHART_FONT_PX, fontFamily: CHART_FONT },
})

export const legendOf = (ink: Ink) => ({
  textStyle: { color: ink.muted, fontSize: CHART_FONT_PX, fontFamily: CHART_FONT },
  itemWidth: 18,
  itemHeight: 9,
  itemGap: 12,
  inactiveColor: ink.line,
})

/** Marks of the legend that look like their lines: ECharts would draw dots and solid lines. */
export const ICONS = {
  solid: 'path://M0,0h18v3h-18z',
  dashed: 'path://M0,0h5v2h-5z M7,0h5v2h-5z M14,0h5v2h-5z',
  area: 'rect',
}

/** A dotted vertical line that says where now is; in the left half its label stands to the right, clear of the axis. */
export const nowLine = (ink: Ink, at: number | string, label: string, isLeftHalf: boolean) => ({
  symbol: 'none',
  silent: true,
  lineStyle: { color: ink.muted, type: 'dotted' as const, width: 1.2 },
  label: {
    show: true,
    formatter: label,
    color: ink.muted,
    fontSize: CHART_FONT_PX,
    fontFamily: CHART_FONT,
    position: 'end' as const,
    align: isLeftHalf ? ('left' as const) : ('right' as const),
    rotate: 0,
    distance: [0, 2],
  },
  data: [{ xAxis: at }],
})

/** A tooltip line: colour, name, value. */
export function tipLine(colour: string, name: string, value: string): string {
  return `<div style="display:flex;gap:14px;justify-content:space-between"><span><i style="display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px;background:${colour}"></i>${escapeHtml(name)}</span><b style="font-variant-numeric:tabular-nums">${escapeHtml(value)}</b></div>`
}

/** Names come from registries that people write; tooltips are HTML. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`)
}
