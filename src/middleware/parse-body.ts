import busboy from 'busboy'
import express, { type NextFunction, type Request, type RequestHandler } from 'express'
import { AppError, invalidRequest } from '../errors.js'
import type { ByteRoom } from '../services/byte-room.js'
import { limitArriving } from './limit-arriving.js'

export interface Upload {
  bytes: Buffer
  file_name?: string
  mime_type?: string
}

declare module 'express-serve-static-core' {
  interface Request {
    /** The file of a multipart body, from its field `file`. */
    upload?: Upload
  }
}

const SMALL = 1024 * 1024
/** base64 is a third larger than its file, and there is the rest of the body. */
const withBase64 = (fileBytes: number) => Math.ceil(fileBytes * 1.4) + SMALL

/** Reads JSON, urlencoded and multipart bodies; `max_file_bytes` where a file may come along, `room` where users send many. */
export function parseBody(options: { max_file_bytes?: number; room?: ByteRoom } = {}): RequestHandler {
  const limit = options.max_file_bytes ? withBase64(options.max_file_bytes) : SMALL
  const [json, urlencoded] = [express.json({ limit }), express.urlencoded({ limit, extended: false })]
  const others: RequestHandler = (req, _res, next) => {
    if (!req.is('multipart/form-data')) return next(req.body === undefined && hasBody(req) ? unreadable() : undefined)
    readMultipart(req, options.max_file_bytes ?? 0).then(() => next(), next)
  }
  // The first that gives a body or an error ends the search.
  const orElse = (next: NextFunction, req: Request, then: () => void) => (err?: unknown) =>
    err !== undefined || req.body !== undefined ? next(err) : then()
  const read: RequestHandler = (req, res, next) =>
    json(
      req,
      res,
      orElse(next, req, () =>
        urlencoded(
          req,
          res,
          orElse(
            (err?: unknown) => next(err ?? (isJsonAsForm(req.body) ? jsonAsForm() : undefined)),
            req,
            () => others(req, res, next),
          ),
        ),
      ),
    )
  const { room } = options
  const readSome = room ? limitArriving(read, { longest: limit, room }) : read
  return (req, res, next) =>
    Number(req.get('content-length') ?? 0) > limit ? next(tooLarge()) : readSome(req, res, next)
}

/** What curl sends with -d and no header. */
function isJsonAsForm(body: unknown): boolean {
  const [name = ''] = Object.keys(body ?? {})
  return /^\s*[{[]/.test(name)
}

const hasBody = (req: Request) =>
  Number(req.get('content-length') ?? 0) > 0 || req.get('transfer-encoding') !== undefined

/** Said before the body is read: the parsers would read all of it first. */
const tooLarge = () => new AppError('payload_too_large', 'The body is larger than this call takes.')

const jsonAsForm = () => invalidRequest('This looks like JSON: send it with the header content-type: application/json.')

const unreadable = () =>
  invalidRequest('This content type is not understood. Send JSON with the header content-type: application/json.')

async function readMultipart(req: Request, maxFileBytes: number): Promise<void> {
  // Without a prototype, so that a field called __proto__ is a field like others, and refused like others.
  const fields = Object.create(null) as Record<string, string>
  const parser = openParser(req, maxFileBytes)
  await new Promise<void>((resolve, reject) => {
    parser.on('field', (name, value, { valueTruncated }) => {
      if (valueTruncated) reject(new AppError('payload_too_large', `The field ${name} is too long.`))
      fields[name] = value
    })
    parser.on('file', (name, stream, info) => {
      if (name !== 'file') return void stream.resume() // named wrongly: what should have come is missed later
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('limit', () => reject(new AppError('payload_too_large', 'The file is larger than this server sends.')))
      stream.on('close', () => {
        req.upload = { bytes: Buffer.concat(chunks), file_name: info.filename, mime_type: info.mimeType }
      })
    })
    parser.on('filesLimit', () => reject(invalidRequest('Send one file at most, in the field "file".')))
    parser.on('error', () => reject(invalidRequest('The multipart body could not be read.')))
    parser.on('close', resolve)
    req.on('aborted', () => reject(invalidRequest('The body ended too early.')))
    req.pipe(parser)
  })
  req.body = fields
}

function openParser(req: Request, maxFileBytes: number) {
  try {
    return busboy({
      headers: req.headers,
      defParamCharset: 'utf8',
      limits: { files: maxFileBytes > 0 ? 1 : 0, fileSize: maxFileBytes, fields: 50, fieldSize: 128 * 1024, parts: 60 },
    })
  } catch (err) {
    throw invalidRequest('The multipart body could not be read.', err)
  }
}
