import { computed, ref, shallowRef } from 'vue'
import { ApiError, ask, client } from '@/api/client'
import { decodeLive, emptyLiveState, mergeNotices, reduceLive, replaceOverview, type LiveState } from '@/api/live'

/** How the live stream is doing. */
export type LiveConnection = { state: 'connecting' } | { state: 'live' } | { state: 'offline'; since: number }

/** Full refresh of the overview; a demo city runs faster than the clock and is asked more often. */
const REFRESH_MS = 60_000
const REFRESH_DEMO_MS = 15_000
/** The stream speaks about every 2 s; silence of this length means it is dead, whatever TCP thinks. */
const SILENCE_MAX_MS = 20_000
const RETRY_FIRST_MS = 1_000
const RETRY_MAX_MS = 30_000

const live = shallowRef<LiveState>(emptyLiveState())
const connection = shallowRef<LiveConnection>({ state: 'connecting' })
const error = shallowRef<ApiError | null>(null)
const isLoading = ref(false)
/** Counts forecast notices, so that an open forecast page can fetch the new run. */
const forecastRevision = ref(0)

let source: EventSource | null = null
let retryMs = RETRY_FIRST_MS
let heardAt = 0
let refreshedAt = 0
let retryTimer: ReturnType<typeof setTimeout> | undefined
let ticker: ReturnType<typeof setInterval> | undefined

async function refresh(): Promise<void> {
  if (isLoading.value) return
  isLoading.value = true
  refreshedAt = Date.now()
  try {
    const [overview, notices] = await Promise.all([
      ask((signal) => client.GET('/api/v1/overview', { signal })),
      ask((signal) => client.GET('/api/v1/notices', { params: { query: { limit: 100 } }, signal })),
    ])
    const next = replaceOverview(live.value, overview)
    live.value = { ...next, notices: mergeNotices(next.notices, notices) }
    error.value = null
  } catch (cause) {
    error.value = cause instanceof ApiError ? cause : new ApiError('console.answer', String(cause), null, null)
  } finally {
    isLoading.value = false
  }
}

function lost(): void {
  if (connection.value.state !== 'offline') connection.value = { state: 'offline', since: Date.now() }
  source?.close()
  source = null
  clearTimeout(retryTimer)
  retryTimer = setTimeout(connect, retryMs)
  retryMs = Math.min(retryMs * 2, RETRY_MAX_MS)
}

function hear(type: string, event: MessageEvent<string>): void {
  heardAt = Date.now()
  if (connection.value.state !== 'live') {
    const wasOffline = connection.value.state === 'offline'
    connection.value = { state: 'live' }
    retryMs = RETRY_FIRST_MS
    if (wasOffline) void refresh()
  }
  const decoded = decodeLive(type, event.data)
  if (decoded === null) return
  live.value = reduceLive(live.value, decoded)
  if (decoded.type === 'notice' && decoded.notice.kind === 'forecast') forecastRevision.value += 1
}

function connect(): void {
  const opened = new EventSource('/api/v1/live')
  source = opened
  heardAt = Date.now()
  opened.addEventListener('overview', (event) => hear('overview', event))
  opened.addEventListener('notice', (event) => hear('notice', event))
  opened.addEventListener('error', () => {
    if (source === opened) lost()
  })
}

function tick(): void {
  const now = Date.now()
  if (source !== null && now - heardAt > SILENCE_MAX_MS) lost()
  const factor = live.value.overview?.time_factor ?? 1
  const isDue = now - refreshedAt > (factor > 1 ? REFRESH_DEMO_MS : REFRESH_MS)
  // A stale overview is fetched at once, but not more than every few seconds.
  const isStale = live.value.isStale && now - refreshedAt > 3_000
  if (!document.hidden && (isDue || isStale)) void refresh()
}

/** Starts the stream and the refresh; called once, by the app. */
export function startConsole(): void {
  if (ticker !== undefined) return
  void refresh()
  connect()
  ticker = setInterval(tick, 1_000)
}

/** The state all pages share. */
export function useConsole() {
  return {
    overview: computed(() => live.value.overview),
    notices: computed(() => live.value.notices),
    connection,
    error,
    isLoading,
    forecastRevision,
    refresh,
  }
}
