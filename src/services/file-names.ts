const MAX_LENGTH = 200
/** Nothing between the first and the last of these can survive; it also bounds the work of the expressions below. */
const MAX_READ = 1000
/** Control characters, and the marks that reverse the direction of text and so can disguise an extension. */
const UNSAFE = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]|\p{Surrogate}/gu

/** A file name without folders, control characters and dots or spaces at its ends; empty when nothing is left. */
export function cleanFileName(name: string): string {
  const read = name.length > 2 * MAX_READ ? name.slice(0, MAX_READ) + name.slice(-MAX_READ) : name
  const base = read.replace(UNSAFE, '').split(/[/\\]/).at(-1)!
  return base.replace(/^[.\s]+|[.\s]+$/g, '')
}

/** The extension in lower case without its dot; empty when there is none. */
export function extensionOf(name: string): string {
  return /[^.]\.([a-z0-9]{1,10})$/i.exec(name)?.[1]?.toLowerCase() ?? ''
}

/** `stem.extension`, the stem cut so that the whole has at most 200 UTF-16 units and no half characters. */
export function joinFileName(stem: string, extension: string): string {
  const room = MAX_LENGTH - extension.length - 1
  const cut = stem
    .slice(0, room)
    .replace(UNSAFE, '')
    .replace(/[.\s]+$/, '')
  return `${cut}.${extension}`
}
