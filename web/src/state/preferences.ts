import { ref, watch, type Ref } from 'vue'

/**
 * A setting of this browser. A store that is full or forbidden costs the user the memory of the
 * setting, not the page.
 */
export function remembered<T>(name: string, fallback: T, isValid: (value: unknown) => value is T): Ref<T> {
  const key = `qiliang.${name}`
  let initial = fallback
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(key) ?? 'null')
    if (isValid(stored)) initial = stored
  } catch {
    // Keep the fallback.
  }
  const value = ref(initial) as Ref<T>
  watch(
    value,
    (next) => {
      try {
        localStorage.setItem(key, JSON.stringify(next))
      } catch {
        // Forgotten at the next visit.
      }
    },
    { deep: true },
  )
  return value
}

export function isOneOf<const T extends readonly unknown[]>(options: T) {
  return (value: unknown): value is T[number] => options.includes(value)
}

export const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean'

export const isText = (value: unknown): value is string => typeof value === 'string'

export const isStringArray = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string')

export type Theme = 'light' | 'dark'

/** Light for the office, dark for the dispatch wall. */
export const theme = remembered<Theme>('theme', 'light', isOneOf(['light', 'dark'] as const))

watch(
  theme,
  (next) => {
    document.documentElement.classList.toggle('dark', next === 'dark')
  },
  { immediate: true },
)
