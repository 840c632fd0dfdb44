import type { Request, Response } from 'express'
import type { HealthService } from '../services/health.js'

export function healthController(service: HealthService) {
  return {
    /** The process answers; nothing else is asked. */
    live: (_req: Request, res: Response) => {
      res.json({ status: 'ok' })
    },

    ready: async (_req: Request, res: Response) => {
      const report = await service.check()
      res.status(report.status === 'ok' ? 200 : 503).json(report)
    },
  }
}
