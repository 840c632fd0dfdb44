import { fileURLToPath } from 'node:url'
import express, { Router } from 'express'
import helmet from 'helmet'
import type { Context } from '../context.js'
import { linkController } from '../controllers/link.js'
import { parseBody } from '../middleware/parse-body.js'
import { limitByAddress } from '../middleware/rate-limit.js'

const FILES = fileURLToPath(new URL('../../public/', import.meta.url))

/** Nothing but our own files and the picture of the code; nobody may put these pages into a frame. */
const strict = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      formAction: ["'self'"],
      baseUri: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  referrerPolicy: { policy: 'no-referrer' },
})

/** What a person opens in a browser, without any key. */
export function pageRoutes(ctx: Context): Router {
  const link = linkController(ctx.linkPages, { brand: ctx.config.brand_name })
  const limit = limitByAddress('pages', ctx.config.rate_limits.per_minute, ctx.redis)
  const noStore: express.RequestHandler = (_req, res, next) => {
    res.set('cache-control', 'no-store')
    next()
  }
  return Router()
    .use('/pages', strict, express.static(FILES, { index: false, redirect: false, maxAge: '5m' }))
    .get('/link/:token', strict, noStore, limit, link.page)
    .get('/link/:token/status', strict, noStore, limit, link.status)
    .post('/link/:token/pairing-code', strict, noStore, limit, parseBody(), link.pair)
    .get('/reset-password', strict, noStore, limit, link.resetPage)
}
