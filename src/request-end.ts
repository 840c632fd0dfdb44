import type { IncomingMessage, ServerResponse } from 'node:http'

export function once(work: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    work()
  }
}

/**
 * Calls `work` once, when the answer is out or its connection has gone, or at once where that is so already. Node tells a
 * response only of the end of a connection that it was writing to: one that waited behind another, pipelined, never hears.
 */
export function whenOver({ socket }: IncomingMessage, res: ServerResponse, work: () => void): void {
  const over = once(() => {
    res.off('close', over)
    socket.off('close', over)
    work()
  })
  if (res.closed || socket.destroyed) return over()
  res.once('close', over)
  socket.once('close', over)
}
