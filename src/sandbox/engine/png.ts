import { crc32, deflateSync } from 'node:zlib'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])

/** A black and white PNG of a square of modules; each becomes `scale` pixels, with `margin` white modules around. */
export function pngOf(modules: { size: number; data: Uint8Array }, scale = 5, margin = 4): Buffer {
  const width = (modules.size + 2 * margin) * scale
  const bytesPerRow = 1 + Math.ceil(width / 8)
  const pixels = Buffer.alloc(bytesPerRow * width, 0xff)
  for (let y = 0; y < width; y++)
    pixels.set(rowOf(modules, Math.floor(y / scale) - margin, scale, margin), y * bytesPerRow)
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(width, 4)
  header.set([1, 0], 8) // one bit per pixel, greyscale
  return Buffer.concat([SIGNATURE, chunk('IHDR', header), chunk('IDAT', deflateSync(pixels)), chunk('IEND')])
}

/** One row of pixels behind its filter byte; rows outside of the modules are white. */
function rowOf({ size, data }: { size: number; data: Uint8Array }, y: number, scale: number, margin: number): Buffer {
  const width = (size + 2 * margin) * scale
  const row = Buffer.alloc(1 + Math.ceil(width / 8), 0xff)
  row[0] = 0
  if (y < 0 || y >= size) return row
  for (let x = 0; x < size * scale; x++) {
    if (!data[y * size + Math.floor(x / scale)]) continue
    const at = x + margin * scale
    row[1 + (at >> 3)]! &= ~(0x80 >> (at & 7))
  }
  return row
}

function chunk(type: string, data = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const framed = Buffer.alloc(body.length + 8)
  framed.writeUInt32BE(data.length, 0)
  framed.set(body, 4)
  framed.writeUInt32BE(crc32(body), body.length + 4)
  return framed
}
