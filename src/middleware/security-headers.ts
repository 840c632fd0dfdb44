import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestHandler } from 'express'
import helmet from 'helmet'

/**
 * For answers that are data: whatever a browser makes of one, nothing in it is run, framed or kept. Pages for people
 * set their own policy in routes/pages.ts.
 */
export function securityHeaders(): RequestHandler {
  const nothing = ["'none'"]
  const directives = { defaultSrc: nothing, frameAncestors: nothing, baseUri: nothing, formAction: nothing }
  const headers = headersOf(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives },
      crossOriginResourcePolicy: { policy: 'same-origin' },
      // These say something about documents only.
      crossOriginOpenerPolicy: false,
      originAgentCluster: false,
      xDnsPrefetchControl: false,
      xDownloadOptions: false,
      xPermittedCrossDomainPolicies: false,
      xXssProtection: false,
    }),
  )
  headers.set('Cache-Control', 'no-store') // keys, QR codes and messages have no place in a cache
  return (_req, res, next) => {
    res.setHeaders(headers)
    next()
  }
}

/** Helmet says the same of every answer, so it is asked once: a dozen handlers less on the way of each request. */
function headersOf(handler: ReturnType<typeof helmet>): Map<string, string> {
  const headers = new Map<string, string>()
  const recorder = { setHeader: (name: string, value: string) => headers.set(name, value), removeHeader: () => {} }
  handler({} as IncomingMessage, recorder as unknown as ServerResponse, () => {})
  return headers
}
