import { onScopeDispose, ref, shallowRef, type Ref, type ShallowRef } from 'vue'
import { ApiError } from '@/api/client'

/** Something fetched from the API: its data, why there is none, and how old it is. */
export interface Resource<T> {
  data: ShallowRef<T | null>
  error: ShallowRef<ApiError | null>
  isLoading: Ref<boolean>
  /** When the data shown came in, by the browser's clock. */
  loadedAt: Ref<number | null>
  reload: () => Promise<void>
}

/**
 * Fetches on call of `reload`. Answers that a later request overtook are dropped; after an error
 * the old data stays on screen beside the error.
 */
export function useResource<T>(fetcher: () => Promise<T>): Resource<T> {
  const data = shallowRef<T | null>(null)
  const error = shallowRef<ApiError | null>(null)
  const isLoading = ref(false)
  const loadedAt = ref<number | null>(null)
  let latest = 0
  onScopeDispose(() => {
    latest = -1
  })

  async function reload(): Promise<void> {
    if (latest < 0) return
    latest += 1
    const request = latest
    isLoading.value = true
    try {
      const answer = await fetcher()
      if (request !== latest) return
      data.value = answer
      error.value = null
      loadedAt.value = Date.now()
    } catch (cause) {
      if (request !== latest) return
      error.value =
        cause instanceof ApiError
          ? cause
          : new ApiError('console.answer', cause instanceof Error ? cause.message : String(cause), null, null)
    }
    isLoading.value = false
  }

  return { data, error, isLoading, loadedAt, reload }
}
