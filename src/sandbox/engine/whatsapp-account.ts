/** Why a connection ended, in the columns of the instance's row. */
export function disconnection(code: number, message: string) {
  const disconnectionAt = new Date().toISOString()
  const payload = { statusCode: code, error: code === 401 ? 'Unauthorized' : 'Forbidden', message }
  const error = { data: null, isBoom: true, isServer: false, output: { statusCode: code, payload, headers: {} } }
  const disconnectionObject = JSON.stringify({ error, date: disconnectionAt })
  return { disconnectionAt, disconnectionReasonCode: code, disconnectionObject }
}

/** A telephone number of its own for every instance that was given none. */
export function phoneFor(instanceId: string): string {
  return `62899${(Number.parseInt(instanceId.slice(0, 8), 16) % 100_000_000).toString().padStart(8, '0')}`
}
