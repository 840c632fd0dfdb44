/** A step of a plan, as `explain (format json)` tells of it. */
export interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Actual Rows'?: number
  'Actual Loops'?: number
  'Rows Removed by Filter'?: number
  Plans?: Plan[]
}

/** What a row of the answer to `explain (format json)` holds: JSON as text. */
export interface Explained {
  'QUERY PLAN': string
}

/** All steps of an explained statement. */
export const stepsIn = (rows: Explained[]): Plan[] =>
  rows.flatMap((row) => (JSON.parse(row['QUERY PLAN']) as [{ Plan: Plan }]).flatMap(({ Plan }) => walk(Plan)))

const walk = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(walk)]
