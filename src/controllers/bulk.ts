import type { Request, Response } from 'express'
import { z } from 'zod'
import { AppError, invalidRequest } from '../errors.js'
import type { BulkRequest, BulkResult, BulkService } from '../services/bulk.js'
import { BulkBody, parseItem } from './message-schemas.js'
import { IdempotencyKey, detailsOf, parse } from './parse.js'

type Item = BulkRequest['items'][number]

export function bulkController(service: BulkService) {
  return {
    /** 202: every good item waits in its lane now; each bad one has its own error. */
    send: async (req: Request, res: Response) => {
      const { messages, ...sender } = parse(BulkBody, req.body)
      const items = messages.map(itemOrError)
      const good = items.flatMap((item, index) => (item instanceof AppError ? [] : [{ item, index }]))
      const { idempotency_key } = parse(IdempotencyKey, req.headers)
      const results = await service.send(req.user, { ...sender, items: good }, idempotency_key)
      res.status(202).json({ success: true, results: merge(items, results), ...count(items, results) })
    },
  }
}

function itemOrError(given: unknown): Item['item'] | AppError {
  try {
    return parseItem(given)
  } catch (err) {
    if (err instanceof z.ZodError) return invalidRequest('This message is not valid.', detailsOf(err))
    throw err
  }
}

function merge(items: (Item['item'] | AppError)[], results: BulkResult[]): BulkResult[] {
  const byIndex = new Map(results.map((result) => [result.index, result]))
  return items.map((item, index) => {
    if (!(item instanceof AppError)) return byIndex.get(index)!
    return { index, error: { code: item.code, message: item.message, details: item.options.details } }
  })
}

function count(items: unknown[], results: BulkResult[]) {
  const accepted = results.filter((result) => result.message_id !== undefined).length
  return { accepted, rejected: items.length - accepted }
}
