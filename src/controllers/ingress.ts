import { timingSafeEqual } from 'node:crypto'
import type { Request, Response } from 'express'
import { invalidRequest, unauthorized } from '../errors.js'
import { INGRESS_HEADER, ingressSecret } from '../services/instances.js'
import type { IngressService } from '../services/ingress.js'

const MAX_BYTES = 5 * 1024 * 1024

/** The same for every event, and the engine does not read it. */
const TAKEN = Buffer.from('{"success":true}')
const TAKEN_HEADERS = { 'content-type': 'application/json', 'content-length': TAKEN.length }

export function ingressController(service: IngressService, options: { api_key: string }) {
  /** Of instances that have proven themselves; nobody else can make it grow. */
  const secrets = new Map<string, string>()

  const checkGenuine = (engineName: string, given: string) => {
    const secret = secrets.get(engineName) ?? ingressSecret(options.api_key, engineName)
    if (!isEqual(given, secret)) throw unauthorized('This address is for the WhatsApp engine only.')
    secrets.set(engineName, secret)
  }

  return {
    /** 200 only after the commit, and never a 4xx for a genuine event: the engine would drop it. */
    receive: async (req: Request<{ engine_name: string }>, res: Response) => {
      const { engine_name } = req.params
      checkGenuine(engine_name, req.get(INGRESS_HEADER) ?? '')
      const { body, size } = await readUpTo(req, MAX_BYTES)
      if (size > MAX_BYTES) await service.receiveOversize(engine_name, body, size)
      else await service.receive(engine_name, body)
      res.writeHead(200, TAKEN_HEADERS).end(TAKEN)
    },
  }
}

function isEqual(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Keeps the beginning and counts the rest, so that an oversize event leaves its trace without filling the memory. */
function readUpTo(req: Request, limit: number): Promise<{ body: Buffer; size: number }> {
  const chunks: Buffer[] = []
  let size = 0
  return new Promise((resolve, reject) => {
    req.on('data', (chunk: Buffer) => {
      if (size <= limit) chunks.push(chunk)
      size += chunk.length
    })
    req.on('end', () => resolve({ body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks), size }))
    req.on('error', reject)
    req.on('close', () => req.complete || reject(invalidRequest('The body ended too early.')))
  })
}
