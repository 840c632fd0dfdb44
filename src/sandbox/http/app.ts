import express, { type ErrorRequestHandler, type Express } from 'express'
import { Failure, failure, thrown } from '../engine/failure.js'
import { Cleared } from '../engine/timers.js'
import type { Engine } from '../engine/engine.js'
import type { Controls } from '../controls.js'
import { chatRoutes } from './chat-routes.js'
import { controlRoutes } from './control-routes.js'
import { refuseInTrouble, requireGlobalKey } from './guards.js'
import { instanceRoutes } from './instance-routes.js'
import { messageRoutes } from './message-routes.js'
import type { RequestLog } from './request-log.js'

export const EVOLUTION_VERSION = '2.3.7'

/** The HTTP face: Evolution's routes, and the controls below /sandbox. */
export function buildApp(engine: Engine, controls: Controls, requests: RequestLog): Express {
  const app = express()
  const parseJson = express.json({ limit: '136mb', strict: false })
  app.use(requests.note)
  app.use('/sandbox', parseJson, controlRoutes(engine, controls))
  app.use(refuseInTrouble(engine))
  app.use(parseJson, express.urlencoded({ limit: '136mb', extended: true }))
  app.get('/', (_req, res) => {
    res.json({
      status: 200,
      message: 'Welcome to the Evolution API, it is working!',
      version: EVOLUTION_VERSION,
      clientName: engine.world.settings.name,
      documentation: 'https://doc.evolution-api.com',
      whatsappWebVersion: '2.3000.1027934701',
    })
  })
  app.post('/verify-creds', (req, res) => {
    requireGlobalKey(engine, req)
    res.json({ status: 200, message: 'Credentials are valid' })
  })
  app.use(licenceStatus(engine))
  app.use(instanceRoutes(engine), messageRoutes(engine), chatRoutes(engine))
  app.use((req) => {
    throw failure(404, [`Cannot ${req.method} ${req.path}`])
  })
  app.use(handleErrors)
  return app
}

/** Only version 2.4 has this route; 2.3 does not know it. */
function licenceStatus(engine: Engine): express.RequestHandler {
  return (req, res, next) => {
    if (req.path !== '/license/status' || !engine.world.troubles.of().licence_required) next()
    else res.json({ status: 'inactive', instance_id: engine.world.settings.name, api_key: '' })
  }
}

// Express tells an error handler by its four parameters
// eslint-disable-next-line @typescript-eslint/no-unused-vars
const handleErrors: ErrorRequestHandler = (error: unknown, req, res, _next) => {
  if (error instanceof Cleared) {
    req.socket.destroy()
    return
  }
  const { status, body } = error instanceof Failure ? error : fromLibrary(error as Error & { status?: number })
  res.status(status).json(body)
}

/** Express' own refusals keep their status and get the name of a 500. */
function fromLibrary(error: Error & { status?: number }): Failure {
  // newer versions of Node add the line and the column
  const message = error.message.replace(/ \(line \d+ column \d+\)$/, '')
  return error.status === undefined ? thrown(message) : failure(error.status, message, 'Internal Server Error')
}
