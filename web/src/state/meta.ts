import { shallowRef } from 'vue'
import { ask, client } from '@/api/client'
import type { Label } from '@/api/types'
import { useNames } from './names'

const zones = shallowRef<Label[] | null>(null)
let isAsked = false

/** Names of supply zones; asked for once. Until the answer is there, and without one, a zone's key stands for it. */
export function useZones() {
  const { named } = useNames()
  if (!isAsked) {
    isAsked = true
    ask((signal) => client.GET('/api/v1/meta', { signal })).then(
      (meta) => (zones.value = meta.zones),
      () => (isAsked = false),
    )
  }
  return {
    zoneName(key: string): string {
      const found = zones.value?.find((zone) => zone.key === key)
      return found === undefined ? key : named(found)
    },
  }
}
