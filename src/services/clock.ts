/** What time it is for rules that wait for days; tests move it. */
export interface Clock {
  now(): Date
}

export const systemClock = (): Clock => ({ now: () => new Date() })
