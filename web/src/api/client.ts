import createClient from 'openapi-fetch'
import type { paths } from './schema'
import type { Problem } from './types'

/** Base of every address; the console is served by the daemon it asks. */
export const client = createClient<paths>({ baseUrl: '' })

/** Nothing answered in time. A dispatcher is better served by an error than by a spinner. */
const TIMEOUT_MS = 20_000

/**
 * A request that did not bring data: refused with a problem document, or not answered at all.
 * `code` is the stable code of the API, or `console.offline`, `console.timeout`, `console.answer`.
 */
export class ApiError extends Error {
  readonly code: string
  readonly status: number | null
  readonly reference: string | null

  constructor(code: string, detail: string, status: number | null, reference: string | null) {
    super(detail)
    this.name = 'ApiError'
    this.code = code
    this.status = status
    this.reference = reference
  }
}

type Outcome<T> = { data?: T; error?: unknown; response: Response }

function asProblem(value: unknown): Problem | null {
  return typeof value === 'object' && value !== null ? (value as Problem) : null
}

/** The data of a call, or an {@link ApiError} that says why there is none. */
export async function ask<T>(call: (signal: AbortSignal) => Promise<Outcome<T>>): Promise<T> {
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  let outcome: Outcome<T>
  try {
    outcome = await call(signal)
  } catch (cause) {
    if (signal.aborted) throw new ApiError('console.timeout', `no answer in ${TIMEOUT_MS / 1000} s`, null, null)
    if (cause instanceof SyntaxError) throw new ApiError('console.answer', cause.message, null, null)
    throw new ApiError('console.offline', cause instanceof Error ? cause.message : String(cause), null, null)
  }
  const { data, error, response } = outcome
  if (response.ok && data !== undefined) return data
  const problem = asProblem(error)
  throw new ApiError(
    // A gateway before the daemon that cannot reach it.
    problem?.code ?? ([502, 503, 504].includes(response.status) ? 'console.offline' : 'console.answer'),
    problem?.detail ?? problem?.title ?? `HTTP ${response.status} ${response.statusText}`.trim(),
    response.status,
    problem?.reference ?? null,
  )
}
