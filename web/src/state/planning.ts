import { ask, client } from '@/api/client'
import { useResource } from './resource'

/** Declarations and nudges, as the overview's panel and the planning page show them. */
export function usePlanning() {
  return useResource(async () => {
    const [declarations, nudges] = await Promise.all([
      ask((signal) => client.GET('/api/v1/declarations', { signal })),
      ask((signal) => client.GET('/api/v1/nudges', { signal })),
    ])
    const newestFirst = [...declarations].sort((a, b) => b.month.localeCompare(a.month) || b.version - a.version)
    return { declarations: newestFirst, nudges }
  })
}
