import type { Request, Response } from 'express'
import type { PhoneNumber } from '../db/phone-numbers.js'
import { AppError } from '../errors.js'
import { isRestricted } from '../services/acknowledgements.js'
import { hasFreshQr, whyNoQr } from '../services/link-needs.js'

export function presentNumber(phone: PhoneNumber) {
  return {
    id: phone.id,
    instance_name: phone.instance_name,
    token: phone.token,
    display_name: phone.display_name,
    phone_number: phone.phone_number,
    status: phone.status,
    status_reason: phone.status_reason,
    status_changed_at: phone.status_changed_at,
    restriction: isRestricted(phone) ? phone.restriction : null,
    ack_ratio_1h: phone.ack_ratio_1h,
    webhook_url: phone.webhook_url,
    metadata: phone.metadata,
    receive_groups: phone.receive_groups,
    first_connected_at: phone.first_connected_at,
    last_event_at: phone.last_event_at,
    created_at: phone.created_at,
  }
}

/** A code that has expired is not shown: whoever scans it is only told that it is invalid. */
export function presentQr(phone: PhoneNumber) {
  const fresh = hasFreshQr(phone)
  return { qr_code: fresh ? phone.qr_code : null, qr_expires_at: fresh ? phone.qr_expires_at : null }
}

/** Beside a missing code: why there is none. */
export const reasonOf = (phone: PhoneNumber) => (hasFreshQr(phone) ? {} : whyNoQr(phone))

/** `/qr.png`, or a caller that asks for pictures and not for JSON: an img element, curl with an Accept header. */
export const wantsPicture = (req: Request) =>
  req.path.endsWith('.png') || req.accepts(['application/json', 'image/png']) === 'image/png'

/** The picture itself; without one the JSON of a refusal, so that `curl -f` fails and says why. */
export function sendPicture(res: Response, phone: PhoneNumber): void {
  if (!hasFreshQr(phone)) {
    const { reason, advice } = whyNoQr(phone)
    throw new AppError('conflict', `There is no QR code to show. ${advice}`, {
      details: { reason, status: phone.status },
    })
  }
  const seconds = Math.max(1, Math.floor((phone.qr_expires_at!.getTime() - Date.now()) / 1000))
  res.set('cache-control', 'no-store').set('x-qr-expires-in', String(seconds)).type('png')
  res.send(Buffer.from(phone.qr_code!.replace(/^data:image\/\w+;base64,/, ''), 'base64'))
}
