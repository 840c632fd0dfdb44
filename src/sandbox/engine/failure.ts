const NAMES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  500: 'Internal Server Error',
}

/** A refusal with the status and the body Evolution gives it. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly body: unknown,
  ) {
    super(`${status} ${JSON.stringify(body)}`)
  }
}

/** The normal shape; `message` is a string, strings, or strings in an array in an array. */
export function failure(status: number, message: unknown, error = NAMES[status]): Failure {
  return new Failure(status, { status, error, response: { message } })
}

export const badRequest = (...message: unknown[]): Failure => failure(400, message)

/** What a library threw, passed on as text: always a string. */
export const thrown = (text: string): Failure => failure(500, text)

export const unauthorized = (): Failure => failure(401, 'Unauthorized')

export const unknownInstance = (name: string): Failure => failure(404, [`The "${name}" instance does not exist`])

export const instanceNotFound = (name: string): Failure => failure(404, [`Instance "${name}" not found`])

/** A database error as Evolution shows it, without the lines of source code it quotes. */
export const databaseText = (detail: string): string =>
  `\nInvalid \`<query>\` invocation in\n[source excerpt removed]\n${detail}`

/** Boom's own JSON, which some routes let through. */
export const boomConnectionClosed = (): Failure =>
  new Failure(400, {
    data: null,
    isBoom: true,
    isServer: false,
    output: {
      statusCode: 428,
      payload: { statusCode: 428, error: 'Precondition Required', message: 'Connection Closed' },
      headers: {},
    },
  })
