import type { Request, Response } from 'express'
import { z } from 'zod'
import type { MonthlyUsage } from '../db/admin-reports.js'
import type { AdminReports } from '../services/admin-reports.js'
import { RowId } from './fields.js'
import { Page, nextCursor, parseQuery } from './parse.js'

const Numbers = Page.extend({
  user_id: RowId.optional(),
  server: z.string().max(100).optional(),
  status: z.enum(['created', 'connecting', 'qr_ready', 'connected', 'disconnected']).optional(),
  search: z.string().trim().max(200).optional(),
})
const Month = z.object({
  month: z
    .string()
    .regex(/^20\d\d-(0[1-9]|1[0-2])$/, 'must be a month such as 2026-11')
    .default(() => new Date().toISOString().slice(0, 7)),
})

export function adminReportController(service: AdminReports) {
  return {
    numbers: async (req: Request, res: Response) => {
      const { cursor, ...filter } = parseQuery(Numbers, req.query)
      const rows = await service.numbers({ ...filter, before: cursor })
      res.json({ success: true, phone_numbers: rows, next_cursor: nextCursor(rows, filter.limit) })
    },

    queues: async (_req: Request, res: Response) => {
      res.json({ success: true, queues: await service.queues() })
    },

    usage: async (req: Request, res: Response) => {
      const { month } = parseQuery(Month, req.query)
      res.json({ success: true, month, usage: await service.usage(month) })
    },

    usageCsv: async (req: Request, res: Response) => {
      const { month } = parseQuery(Month, req.query)
      const rows = await service.usage(month)
      res.type('text/csv').attachment(`usage-${month}.csv`).send(csvOf(month, rows))
    },

    audit: async (req: Request, res: Response) => {
      const { limit, cursor } = parseQuery(Page, req.query)
      const rows = await service.audit({ before: cursor, limit })
      res.json({ success: true, audit_log: rows, next_cursor: nextCursor(rows, limit) })
    },
  }
}

const COLUMNS = [
  'user_id',
  'email',
  'company_name',
  'plan_type',
  'status',
  'phone_numbers',
  'messages_sent',
  'messages_received',
  'media_sent',
  'media_received',
  'messages_charged',
] as const

function csvOf(month: string, rows: MonthlyUsage[]): string {
  const lines = rows.map((row) => [month, ...COLUMNS.map((name) => row[name])].map(cell).join(','))
  return `${[['month', ...COLUMNS].join(','), ...lines].join('\r\n')}\r\n`
}

/** A spreadsheet takes what begins with = + - @ for a formula; users choose their own names. */
function cell(value: string | number | null): string {
  const text = String(value ?? '')
  const harmless = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}
