/** How Evolution turns what a caller wrote into a WhatsApp JID. */
export function jidOf(number: string): string {
  const written = number.replace(/:\d+(?=@|$)/, '')
  if (/@(s\.whatsapp\.net|g\.us|lid|broadcast)$/.test(written)) return written
  if (written.includes('-') && written.length >= 24) return `${written.replace(/[^\d-]/g, '')}@g.us`
  const digits = written.replace(/\D/g, '')
  if (digits.length >= 18) return `${digits}@g.us`
  return `${regionalDigits(digits)}@s.whatsapp.net`
}

/** Mexico and Argentina lose the digit after the country; Brazil its extra 9 in the newer regions. */
function regionalDigits(digits: string): string {
  if (digits.length !== 13) return digits
  if (/^5[24]/.test(digits)) return digits.slice(0, 2) + digits.slice(3)
  const extraNine = digits.startsWith('55') && Number(digits.slice(2, 4)) >= 31 && Number(digits[5]) >= 7
  return extraNine ? digits.slice(0, 4) + digits.slice(5) : digits
}

export const isGroup = (jid: string): boolean => jid.endsWith('@g.us')

export const isLid = (jid: string): boolean => jid.endsWith('@lid')

export const digitsOf = (jid: string): string => jid.split('@', 1)[0] ?? ''

/** The sandbox's privacy ids are the phone number behind a 1. */
export const lidOf = (phoneJid: string): string => `1${digitsOf(phoneJid)}@lid`

export const phoneJidOf = (lid: string): string => `${digitsOf(lid).slice(1)}@s.whatsapp.net`

/** The phone JID behind a lid; everything else as it is. */
export const withoutLid = (jid: string): string => (isLid(jid) ? phoneJidOf(jid) : jid)
