import { describe, expect, it } from 'vitest'
import { learntBy } from './learning'

describe('learntBy', () => {
  it('puts the run itself first, then the latest, and tells the ledger apart', () => {
    const learning = { F20261119T003000Z: ['south/industrial'], L20261120T003100Z: ['K2', 'K1'], F20261120T013000Z: ['north/industrial'] }
    expect(learntBy(learning, 'F20261120T013000Z')).toEqual([
      { run: 'F20261120T013000Z', by: 'own', series: ['north/industrial'] },
      { run: 'L20261120T003100Z', by: 'ledger', series: ['K1', 'K2'] },
      { run: 'F20261119T003000Z', by: 'run', series: ['south/industrial'] },
    ])
    expect(learntBy({}, 'F1')).toEqual([])
  })
})
