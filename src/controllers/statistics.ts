import type { Request, Response } from 'express'
import { z } from 'zod'
import type { StatisticsService } from '../services/statistics.js'
import { parse } from './parse.js'

const Day = z.iso.date('must be a day like 2024-01-31').optional()
const Range = z.object({ start_date: Day, end_date: Day })

export function statisticsController(service: StatisticsService) {
  return {
    statistics: async (req: Request, res: Response) => {
      res.json({ success: true, statistics: await service.statistics(req.user, parse(Range, req.query)) })
    },

    dashboard: async (req: Request, res: Response) => {
      res.json({ success: true, dashboard: await service.dashboard(req.user) })
    },
  }
}
