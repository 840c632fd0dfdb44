import { sha256 } from './sha256.js'

/** What of a message survives the way through the engine and back: its kind and its words. */
const WORDS: Record<string, string[]> = {
  text: ['text'],
  image: ['caption'],
  video: ['caption'],
  audio: [],
  document: ['caption', 'file_name'],
  sticker: [],
  location: ['latitude', 'longitude'],
  contact: [],
  poll: ['name'],
  reaction: ['reaction', 'whatsapp_id'],
}

/** Equal for a message as we sent it and as the engine reports it, so that a send can be found without its answer. */
export function fingerprintOf(type: string, content: Record<string, unknown>): Buffer {
  const words = (WORDS[type] ?? []).map((name) => content[name] ?? '')
  return sha256(JSON.stringify([type, ...words]))
}
