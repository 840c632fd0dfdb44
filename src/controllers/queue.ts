import type { Request, Response } from 'express'
import type { QueueService } from '../services/queue.js'
import { Id, parse } from './parse.js'

export function queueController(service: QueueService) {
  return {
    show: async (req: Request, res: Response) => {
      res.json({ success: true, queue: await service.show(req.user, parse(Id, req.params).id) })
    },

    purge: async (req: Request, res: Response) => {
      const canceled = await service.purge(req.user, parse(Id, req.params).id)
      res.json({ success: true, message: 'Queue purged', canceled })
    },

    pause: async (req: Request, res: Response) => {
      res.json({ success: true, queue: await service.setPaused(req.user, parse(Id, req.params).id, true) })
    },

    resume: async (req: Request, res: Response) => {
      res.json({ success: true, queue: await service.setPaused(req.user, parse(Id, req.params).id, false) })
    },
  }
}
