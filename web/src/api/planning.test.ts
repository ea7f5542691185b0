import { expect, test } from 'vitest'
import { nudgeView } from './planning'

test('a nudge document is read with its exact numbers and its mean baseline', () => {
  const view = nudgeView({
    id: 'n1',
    kind: 'day_ahead_peak',
    state: 'draft',
    name: '华宇陶瓷',
    customer: 'C1',
    window_from: '2026-11-22T09:00:00Z',
    window_to: '2026-11-22T13:00:00Z',
    ask_m3h: 300,
    avoided_m3: 1200,
    price_gap: '1.15',
    benefit: '1380.00',
    baseline: { hours_m3h: [950, 970] },
  })
  expect(view).toMatchObject({ customer: '华宇陶瓷', benefit_yuan: 1380, price_gap_yuan_per_m3: 1.15, baseline_m3h: 960, ask_m3h: 300 })
})

test('what a document does not carry is missing, never zero', () => {
  const view = nudgeView({ customer: 'C1', baseline: { hours_m3h: [] } })
  expect(view.customer).toBe('C1')
  expect(view.state).toBe('draft')
  for (const value of [view.ask_m3h, view.benefit_yuan, view.baseline_m3h, view.window_from, view.avoided_m3]) expect(value).toBeNull()
})
