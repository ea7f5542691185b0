/**
 * The shapes of `/api/v1` under the names the console uses. They are generated from the API's own
 * document (`npm run api` writes `schema.d.ts`); nothing is described twice.
 *
 * Exact volumes that are signed (ledger, declarations) are strings, statistics are numbers, both in
 * m³. What is missing is `null`, never 0. Instants are RFC 3339, gas days `YYYY-MM-DD`.
 */
import type { components } from './schema'

type Schemas = components['schemas']

/** An uncertain volume: one in ten lies below P10, one in ten above P90. */
export type Band = Schemas['Band']

export type AlarmLevel = keyof Schemas['AlertCounts']
export type Notice = Schemas['Notice']
export type NoticeLevel = Schemas['NoticeLevel']

/** A key with its name in both languages. */
export type Label = Schemas['Label']

export type Overview = Schemas['Overview']
export type Kpi = Schemas['Kpi']
export type SourceExecution = Schemas['SourceView']
export type ClassDay = Schemas['ClassView']
export type TopCustomer = Schemas['TopCustomer']

/** What the `overview` event of `/live` carries; a part of {@link Overview}. */
export type OverviewPatch = Schemas['LiveOverview'] & Partial<Pick<Overview, 'alerts'>>

/** `made_with` are pairs; openapi-fetch widens tuples, so they are read as lists. */
export type ForecastView = Omit<Schemas['ForecastView'], 'made_with'> & { made_with: string[][] }
export type ForecastHorizon = Schemas['Horizon']
export type ForecastDimension = Schemas['Dimension']
export type ForecastTableRow = Schemas['TableRow']
export type ForecastRun = Schemas['RunSummary']
export type MonthBlock = Schemas['MonthView']
export type QualityRow = Schemas['QualityRow']

/** The months after a run's days. */
export type MonthsView = Schemas['MonthsView']
export type MonthsBy = Schemas['MonthsBy']
export type MonthRows = Schemas['MonthRows']
export type MonthPoint = Schemas['MonthPoint']

/** The four parts of a forecast; they sum to `total_m3`. */
export type PartsM3 = Schemas['PartsM3']
export type PeakView = Schemas['PeakView']
export type Factor = Schemas['Factor']
export type FactorKind = Schemas['FactorKind']

export type LedgerStatus = Schemas['LedgerStatus']
export type LedgerRow = Schemas['LedgerRow']
export type LedgerProfile = Schemas['LedgerDetail']

export type Collection = Schemas['CollectionView']
export type Reject = Schemas['RejectView']
export type Replay = Schemas['ReplayResult']

export type CurveDay = Schemas['CurveDay']
export type CurveEdit = Schemas['EditView']
export type Finding = Schemas['FindingView']
export type CorrectorView = Schemas['CorrectorView']
export type MeterBalance = Schemas['MeterBalanceView']

export type ProductionChange = Schemas['ProductionChangeView']
export type CustomerPlans = Schemas['CustomerPlans']
export type PlanReport = Schemas['PlanReport']

export type DeclarationSummary = Schemas['DeclarationSummary']

export type Nudge = Schemas['NudgeView']
export type NudgeStep = Schemas['NudgeStep']
export type NudgeStepKind = Schemas['NudgeStepKind']
export type Settlement = Schemas['SettlementView']
export type OptOut = Schemas['OptOut']
export type Nomination = Schemas['NominationView']
export type NominationLine = Schemas['NominationLine']

/** `application/problem+json`. */
export type Problem = Partial<Schemas['ProblemBody']>
