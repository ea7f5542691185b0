import { describe, expect, it } from 'vitest'
import { byMethod } from './methods'

const node = (zone: string, model: string, p50_m3: number | null) => ({ zone, zone_name: `区${zone}`, class: 'industrial', class_zh: '工业', class_en: 'Industrial', model, p50_m3 })

describe('byMethod', () => {
  it('counts and sums from the best model down, and names what has a lesser one', () => {
    const found = byMethod([node('Z1', 'recent_mean', 10), node('Z2', 'regression', 500), node('Z3', 'class_profile', null), node('Z4', 'regression', 300)], true)
    expect(found).toEqual([
      { model: 'regression', count: 2, p50M3: 800, names: [] },
      { model: 'class_profile', count: 1, p50M3: 0, names: ['区Z3 工业'] },
      { model: 'recent_mean', count: 1, p50M3: 10, names: ['区Z1 工业'] },
    ])
  })
  it('knows every rung of the ladder in its order', () => {
    const rungs = ['recent_mean', 'class_profile_design_flow', 'new_connection', 'class_profile_scaled', 'seasonal_naive', 'regression']
    expect(byMethod(rungs.map((model) => node('Z1', model, 1)), false).map((of) => of.model)).toEqual([
      'regression',
      'class_profile_scaled',
      'class_profile_design_flow',
      'seasonal_naive',
      'recent_mean',
      'new_connection',
    ])
  })
  it('puts a model it does not know last', () => {
    expect(byMethod([node('Z1', 'new_one', 1), node('Z2', 'seasonal_naive', 2)], false).map((of) => of.model)).toEqual(['seasonal_naive', 'new_one'])
  })
})
