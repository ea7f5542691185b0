import type { Notice, Overview, OverviewPatch } from './types'

/** Notices kept on screen; older ones are in `GET /notices`. */
export const NOTICES_MAX = 200

/** What the live stream says, decoded. */
export type LiveEvent =
  | { type: 'overview'; patch: OverviewPatch }
  | { type: 'notice'; notice: Notice }

/** What the screen shows: the last full overview with live figures laid over it. */
export interface LiveState {
  overview: Overview | null
  notices: Notice[]
  /** The loaded overview no longer fits (a new gas day, a new forecast) and must be fetched again. */
  isStale: boolean
}

export const emptyLiveState = (): LiveState => ({ overview: null, notices: [], isStale: false })

/** Decodes one server-sent event; `null` for what this version does not understand. */
export function decodeLive(type: string, data: string): LiveEvent | null {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  if (type === 'overview' && 'kpi' in value && 'now' in value) {
    return { type, patch: value as OverviewPatch }
  }
  if (type === 'notice' && 'at' in value && 'code' in value) {
    return { type, notice: value as Notice }
  }
  return null
}

/** Identity of a notice: the stream may repeat after a reconnect what `GET /notices` already gave. */
export const noticeKey = (notice: Notice): string =>
  [notice.at, notice.kind, notice.code, notice.subject ?? ''].join('|')

/** Merges notices, newest first, each once, bounded. */
export function mergeNotices(known: readonly Notice[], more: readonly Notice[]): Notice[] {
  const seen = new Set<string>()
  return [...more, ...known]
    .filter((notice) => {
      const key = noticeKey(notice)
      if (seen.has(key)) return false
      seen.add(key)
      return true
    })
    .sort((a, b) => Date.parse(b.at) - Date.parse(a.at))
    .slice(0, NOTICES_MAX)
}

/**
 * The state after an event. An event older than what is shown changes nothing; one of another gas
 * day is not laid over yesterday's curves but asks for a fresh overview.
 */
export function reduceLive(state: LiveState, event: LiveEvent): LiveState {
  if (event.type === 'notice') {
    return {
      ...state,
      notices: mergeNotices(state.notices, [event.notice]),
      isStale: state.isStale || event.notice.kind === 'forecast',
    }
  }
  const { overview } = state
  if (overview === null) return state
  const { patch } = event
  if (Date.parse(patch.now) < Date.parse(overview.now)) return state
  if (patch.gas_day !== overview.gas_day) return { ...state, isStale: true }
  return {
    ...state,
    overview: {
      ...overview,
      now: patch.now,
      gas_day_progress: patch.gas_day_progress,
      remaining_s: patch.remaining_s,
      coverage_ratio: patch.coverage_ratio,
      meters: patch.meters,
      collect: patch.collect,
      kpi: { ...overview.kpi, ...patch.kpi },
      alerts: patch.alerts ?? overview.alerts,
    },
  }
}

/** The state after a full fetch; a fetch that was overtaken by live figures keeps the newer ones. */
export function replaceOverview(state: LiveState, overview: Overview): LiveState {
  const shown = state.overview
  if (
    shown !== null &&
    shown.gas_day === overview.gas_day &&
    Date.parse(shown.now) > Date.parse(overview.now)
  ) {
    const { now, gas_day_progress, remaining_s, kpi, collect, meters, coverage_ratio } = shown
    return {
      ...state,
      overview: { ...overview, now, gas_day_progress, remaining_s, kpi, collect, meters, coverage_ratio },
      isStale: false,
    }
  }
  return { ...state, overview, isStale: false }
}
