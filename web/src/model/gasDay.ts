import { date } from '@/format/time'

const HOUR_MS = 3_600_000

/** The gas day that an instant belongs to: it begins at the start hour of its civil day, Beijing time. */
export const gasDayAt = (instant: string, startHour: number): string => date(Date.parse(instant) - startHour * HOUR_MS)
