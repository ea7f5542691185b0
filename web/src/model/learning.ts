/** Series whose regression one run learnt. */
export interface Learnt {
  run: string
  /** `own`: the run looked at; `ledger`: learnt for the ledger before a run asked; `run`: an earlier run. */
  by: 'own' | 'ledger' | 'run'
  series: string[]
}

/** The run itself first, then the others, latest first. Names carry their instant after one letter. */
export function learntBy(learning: Record<string, string[]>, run: string): Learnt[] {
  const of = (name: string): Learnt['by'] => (name === run ? 'own' : /^L\d{8}T/.test(name) ? 'ledger' : 'run')
  return Object.entries(learning)
    .map(([name, series]) => ({ run: name, by: of(name), series: [...series].sort() }))
    .sort((a, b) => Number(b.by === 'own') - Number(a.by === 'own') || b.run.slice(1).localeCompare(a.run.slice(1)))
}
