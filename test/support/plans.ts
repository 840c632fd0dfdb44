/** A step of a plan, as `explain (format json)` tells of it. */
export interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Actual Rows'?: number
  'Actual Loops'?: number
  'Rows Removed by Filter'?: number
  Plans?: Plan[]
}

/** What a row of the answer to `explain (format json)` holds. */
export interface Explained {
  'QUERY PLAN': [{ Plan: Plan }]
}

/** All steps of an explained statement. */
export const stepsIn = (rows: Explained[]): Plan[] => rows.flatMap((row) => walk(row['QUERY PLAN'][0].Plan))

const walk = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(walk)]
