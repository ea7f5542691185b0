import type { ForecastView } from '@/api/types'

/** Nodes forecast by one model: how many, what they are expected to use tomorrow, and, of all but the best model, which. */
export interface OfMethod {
  model: string
  count: number
  p50M3: number
  names: string[]
}

/** From the best model down; a figure is as good as what it was made by. */
const LADDER = ['regression', 'class_profile_scaled', 'class_profile_design_flow', 'class_profile', 'seasonal_naive', 'recent_mean', 'new_connection']
const rank = (model: string) => (LADDER.includes(model) ? LADDER.indexOf(model) : LADDER.length)

export function byMethod(nodes: ForecastView['methods'], isChinese: boolean): OfMethod[] {
  const models = [...new Set(nodes.map((node) => node.model))].sort((a, b) => rank(a) - rank(b))
  return models.map((model) => {
    const of = nodes.filter((node) => node.model === model)
    return {
      model,
      count: of.length,
      p50M3: of.reduce((sum, node) => sum + (node.p50_m3 ?? 0), 0),
      names: rank(model) === 0 ? [] : of.map((node) => `${node.zone_name} ${isChinese ? node.class_zh : node.class_en}`),
    }
  })
}
