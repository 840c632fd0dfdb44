import type { Request, Response } from 'express'
import { z } from 'zod'
import type { StatisticsService } from '../services/statistics.js'
import { parseQuery } from './parse.js'

const DAY = 'must be a day like 2024-01-31'
const Day = z.iso
  .date(DAY)
  .refine((day) => day >= '0001', DAY) // PostgreSQL has no year 0
  .optional()
const Range = z.object({ start_date: Day, end_date: Day })

export function statisticsController(service: StatisticsService) {
  return {
    statistics: async (req: Request, res: Response) => {
      res.json({ success: true, statistics: await service.statistics(req.user, parseQuery(Range, req.query)) })
    },

    dashboard: async (req: Request, res: Response) => {
      res.json({ success: true, dashboard: await service.dashboard(req.user) })
    },
  }
}
