import fc from 'fast-check'
import { identifyMedia, MediaRejected, type MediaType } from './media-types.js'

const ascii = (text: string) => Buffer.from(text, 'latin1')
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const padded = (...parts: Buffer[]) => Buffer.concat([...parts, Buffer.alloc(512)])

function box(type: string, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const size = Buffer.alloc(4)
  size.writeUInt32BE(body.length + 8)
  return Buffer.concat([size, ascii(type), body])
}

const handler = (kind: string) =>
  box('moov', box('trak', box('mdia', box('hdlr', Buffer.alloc(8), ascii(kind), Buffer.alloc(13)))))
const iso = (brand: string, ...kinds: string[]) =>
  padded(box('ftyp', ascii(brand), Buffer.alloc(4), ascii(brand)), ...kinds.map(handler))
const ebml = (codec: string) => padded(hex('1a45dfa3 87 4282 84'), ascii('webm'), ascii(codec))
const ogg = (codec: string) => padded(ascii('OggS'), Buffer.alloc(24), ascii(codec))
const zip = (name: string) => {
  const header = Buffer.alloc(30)
  ascii('PK\x03\x04').copy(header)
  header.writeUInt16LE(name.length, 26)
  return padded(header, ascii(name))
}

const FILES = {
  jpg: padded(hex('ffd8ffe0 0010 4a464946 00')),
  png: Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
    'base64',
  ),
  gif: padded(ascii('GIF89a')),
  webp: padded(ascii('RIFF'), hex('24000000'), ascii('WEBPVP8 ')),
  tif: padded(hex('49492a00 08000000')),
  mp4: iso('isom', 'vide', 'soun'),
  mp4_sound: iso('isom', 'soun'),
  m4a: iso('M4A ', 'soun'),
  '3gp': iso('3gp4', 'vide'),
  mov: iso('qt  ', 'vide'),
  heic: iso('heic'),
  avif: iso('avif'),
  webm: ebml('V_VP9'),
  webm_sound: ebml('A_OPUS'),
  mp3: padded(ascii('ID3'), hex('0300 00 00000000'), hex('fffb9064')),
  opus: ogg('OpusHead'),
  vorbis: ogg('\x01vorbis'),
  wav: padded(ascii('RIFF'), hex('24000000'), ascii('WAVEfmt ')),
  aac: padded(hex('fff1 5080 0001 fc')),
  amr: padded(ascii('#!AMR\n')),
  flac: padded(ascii('fLaC')),
  pdf: padded(ascii('%PDF-1.7\n%\xe2\xe3\xcf\xd3\n')),
  zip: zip('some/file.bin'),
  cfb: padded(hex('d0cf11e0a1b11ae1')),
  csv: Buffer.from('nama;kota\nBüdi;Bandung\n'),
  utf16: Buffer.from('\ufeffnama;kota\nBüdi;Bandung\n', 'utf16le'),
  bmw: Buffer.from('BMW harga 2026\nseri 3; 900 juta\n'),
  svg: Buffer.from('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'),
  noise: hex('00 01 02 03 fe ff 00 9a 88'),
}

type Case = [file: keyof typeof FILES, kind: MediaType, name: string | undefined, mime_type: string, file_name: string]

const ACCEPTED: Case[] = [
  ['jpg', 'image', undefined, 'image/jpeg', 'image.jpg'],
  ['jpg', 'image', 'Foto liburan.JPEG', 'image/jpeg', 'Foto liburan.jpeg'],
  ['jpg', 'image', 'foto.png', 'image/jpeg', 'foto.jpg'],
  ['png', 'image', 'logo', 'image/png', 'logo.png'],
  ['png', 'image', 'logo.php', 'image/png', 'logo.php.png'],
  ['gif', 'image', 'a.gif', 'image/gif', 'a.gif'],
  ['webp', 'image', 'sticker.webp', 'image/webp', 'sticker.webp'],
  ['avif', 'image', undefined, 'image/avif', 'image.avif'],
  ['tif', 'image', 'scan.tiff', 'image/tiff', 'scan.tiff'],
  ['mp4', 'video', undefined, 'video/mp4', 'video.mp4'],
  ['mp4', 'video', 'klip.mov', 'video/mp4', 'klip.mp4'],
  ['3gp', 'video', 'klip.3gp', 'video/3gpp', 'klip.3gp'],
  ['mov', 'video', undefined, 'video/quicktime', 'video.mov'],
  ['webm', 'video', undefined, 'video/webm', 'video.webm'],
  ['mp3', 'audio', 'lagu.mp3', 'audio/mpeg', 'lagu.mp3'],
  ['opus', 'audio', 'PTT-20260301.opus', 'audio/ogg', 'PTT-20260301.opus'],
  ['opus', 'audio', undefined, 'audio/ogg', 'audio.ogg'],
  ['vorbis', 'audio', undefined, 'audio/ogg', 'audio.ogg'],
  ['m4a', 'audio', undefined, 'audio/mp4', 'audio.m4a'],
  ['mp4_sound', 'audio', 'rekaman.mp4', 'audio/mp4', 'rekaman.m4a'],
  ['webm_sound', 'audio', undefined, 'audio/webm', 'audio.weba'],
  ['aac', 'audio', undefined, 'audio/aac', 'audio.aac'],
  ['wav', 'audio', undefined, 'audio/wav', 'audio.wav'],
  ['amr', 'audio', undefined, 'audio/amr', 'audio.amr'],
  ['flac', 'audio', undefined, 'audio/x-flac', 'audio.flac'],
  ['pdf', 'document', 'faktur.pdf', 'application/pdf', 'faktur.pdf'],
  ['pdf', 'document', undefined, 'application/pdf', 'document.pdf'],
  ['pdf', 'document', 'faktur v2.1', 'application/pdf', 'faktur v2.1.pdf'],
  ['pdf', 'document', 'faktur.jpg', 'application/pdf', 'faktur.pdf'],
  ['jpg', 'document', 'asli.jpg', 'image/jpeg', 'asli.jpg'],
  ['heic', 'document', 'asli.heic', 'image/heic', 'asli.heic'],
  ['mp4_sound', 'document', 'lagu.m4a', 'audio/mp4', 'lagu.m4a'],
  ['zip', 'document', 'arsip.zip', 'application/zip', 'arsip.zip'],
  [
    'zip',
    'document',
    'laporan.docx',
    'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
    'laporan.docx',
  ],
  ['cfb', 'document', 'tabel.xls', 'application/vnd.ms-excel', 'tabel.xls'],
  ['csv', 'document', 'data.csv', 'text/csv', 'data.csv'],
  ['csv', 'document', undefined, 'text/plain', 'document.txt'],
  ['csv', 'document', 'data.xyz', 'text/plain', 'data.xyz.txt'],
  ['utf16', 'document', 'tabel.csv', 'text/csv', 'tabel.csv'],
  ['zip', 'document', 'tabel.numbers', 'application/vnd.apple.numbers', 'tabel.numbers'],
  ['cfb', 'document', 'rencana.mpp', 'application/vnd.ms-project', 'rencana.mpp'],
  ['noise', 'document', 'kunci.p7m', 'application/pkcs7-mime', 'kunci.p7m'],
  ['bmw', 'document', 'harga.txt', 'text/plain', 'harga.txt'],
  ['svg', 'document', 'logo.svg', 'image/svg+xml', 'logo.svg'],
  ['noise', 'document', 'data', 'application/octet-stream', 'data.bin'],
  ['noise', 'document', 'data.xyz', 'application/octet-stream', 'data.xyz.bin'],
  ['noise', 'document', 'gambar.dwg', 'image/vnd.dwg', 'gambar.dwg'],
]

const REJECTED: [file: keyof typeof FILES, kind: MediaType][] = [
  ['pdf', 'image'],
  ['svg', 'image'],
  ['heic', 'image'],
  ['csv', 'image'],
  ['noise', 'image'],
  ['mp4', 'image'],
  ['jpg', 'video'],
  ['m4a', 'video'],
  ['mp3', 'video'],
  ['zip', 'video'],
  ['mp4', 'audio'],
  ['webm', 'audio'],
  ['3gp', 'audio'],
  ['csv', 'audio'],
  ['png', 'audio'],
]

describe('a file', () => {
  test.each(ACCEPTED)('%s as %s named %s is %s, %s', async (file, kind, name, mime_type, file_name) => {
    expect(await identifyMedia(FILES[file], kind, { file_name: name })).toEqual({ mime_type, file_name })
  })

  test.each(REJECTED)('%s is no %s', async (file, kind) => {
    const rejection = identifyMedia(FILES[file], kind, { file_name: `x.${kind === 'image' ? 'jpg' : 'mp4'}` })
    await expect(rejection).rejects.toThrow(MediaRejected)
    await expect(rejection).rejects.toThrow(/mediaType "document"/)
  })

  test.each(['image', 'video', 'audio', 'document'] as const)('without bytes is no %s', async (kind) => {
    await expect(identifyMedia(new Uint8Array(), kind, { file_name: 'a.pdf' })).rejects.toThrow('The file is empty.')
  })

  test('takes a declared mime type when neither bytes nor name say what it is', async () => {
    const mime = (mime_type: string) => identifyMedia(FILES.csv, 'document', { mime_type })
    expect(await mime('Text/CSV; charset=utf-8')).toEqual({ mime_type: 'text/csv', file_name: 'document.csv' })
    expect(await mime('application/octet-stream')).toEqual({ mime_type: 'text/plain', file_name: 'document.txt' })
    expect(await mime('no mime')).toEqual({ mime_type: 'text/plain', file_name: 'document.txt' })
  })

  test('is read through a view into a larger buffer', async () => {
    const whole = Buffer.concat([FILES.mp4, FILES.mp4_sound])
    const view = whole.subarray(FILES.mp4.length)
    expect(await identifyMedia(view, 'audio')).toEqual({ mime_type: 'audio/mp4', file_name: 'audio.m4a' })
  })
})

describe('a file name', () => {
  const named = async (file_name: string) => (await identifyMedia(FILES.pdf, 'document', { file_name })).file_name

  test.each([
    ['../../etc/passwd', 'passwd.pdf'],
    ['C:\\Users\\budi\\faktur.pdf', 'faktur.pdf'],
    ['/', 'document.pdf'],
    ['..', 'document.pdf'],
    ['...pdf', 'pdf.pdf'],
    ['a\0b\r\n"c.pdf', 'ab"c.pdf'],
    ['fak\u202efdp.exe', 'fakfdp.exe.pdf'],
    ['laporan . pdf ', 'laporan . pdf.pdf'],
    ['faktur.pdf...', 'faktur.pdf'],
    ['Ünïcødé 報告 👨‍👩‍👧.pdf', 'Ünïcødé 報告 👨‍👩‍👧.pdf'],
    ['half\ud83d.pdf', 'half.pdf'],
  ])('%j becomes %j', async (name, clean) => {
    expect(await named(name)).toBe(clean)
  })

  test('is cut to 200 characters before its extension, never within a character', async () => {
    expect(await named(`${'a'.repeat(300)}.pdf`)).toBe(`${'a'.repeat(196)}.pdf`)
    expect(await named(`a${'👋'.repeat(300)}.pdf`)).toBe(`a${'👋'.repeat(97)}.pdf`)
    expect((await named(`${' '.repeat(2_000_000)}a.pdf`)).length).toBeLessThanOrEqual(200)
  })
})

test('any bytes under any name are identified or rejected, never a failure', async () => {
  const starts = fc.constantFrom(...Object.values(FILES).map((file) => new Uint8Array(file.subarray(0, 40))))
  const kinds = fc.constantFrom<MediaType>('image', 'video', 'audio', 'document')
  const tails = fc.uint8Array({ minLength: 1, maxLength: 300 })
  const check = fc.asyncProperty(
    starts,
    tails,
    kinds,
    fc.string({ unit: 'binary' }),
    async (start, tail, kind, name) => {
      try {
        const found = await identifyMedia(Buffer.concat([start, tail]), kind, { file_name: name, mime_type: name })
        expect(found.file_name).toMatch(/^[^/\\\p{Cc}]+\.[a-z0-9.]+$/iu)
        expect(found.file_name.length).toBeLessThanOrEqual(200)
      } catch (error) {
        expect(error).toBeInstanceOf(MediaRejected)
      }
    },
  )
  await fc.assert(check, { numRuns: 1000 })
})
