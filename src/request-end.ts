import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export function once(work: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    work()
  }
}

/** What is to be done when a connection goes: one listener for all of it, as requests can be many. */
const onGone = new WeakMap<Socket, Set<() => void>>()

/**
 * Calls `work` once, when the answer is out or its connection has gone, or at once where that is so already. Node tells a
 * response only of the end of a connection that it was writing to: one that waited behind another, pipelined, never hears.
 */
export function whenOver({ socket }: IncomingMessage, res: ServerResponse, work: () => void): void {
  const works = worksOf(socket)
  const over = once(() => {
    res.off('close', over)
    works.delete(over)
    work()
  })
  if (res.closed || socket.destroyed) return over()
  res.once('close', over)
  works.add(over)
}

/** Ends with the answer or its connection, so that nobody works for somebody who is not there. */
export function signalWhenOver(req: IncomingMessage, res: ServerResponse): AbortSignal {
  const controller = new AbortController()
  whenOver(req, res, () => controller.abort())
  return controller.signal
}

function worksOf(socket: Socket): Set<() => void> {
  const known = onGone.get(socket)
  if (known) return known
  const works = new Set<() => void>()
  onGone.set(socket, works)
  socket.once('close', () => {
    for (const work of works) work()
  })
  return works
}
