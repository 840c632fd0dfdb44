import type { RequestHandler } from 'express'
import helmet from 'helmet'

/**
 * For answers that are data: whatever a browser makes of one, nothing in it is run, framed or kept. Pages for people
 * set their own policy in routes/pages.ts.
 */
export function securityHeaders(): RequestHandler[] {
  const nothing = ["'none'"]
  const directives = { defaultSrc: nothing, frameAncestors: nothing, baseUri: nothing, formAction: nothing }
  return [
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives },
      crossOriginResourcePolicy: { policy: 'same-origin' },
    }),
    (_req, res, next) => {
      res.set('Cache-Control', 'no-store') // keys, QR codes and messages have no place in a cache
      next()
    },
  ]
}
