import type { User } from '../db/users.js'
import { AppError } from '../errors.js'

export function refuseSuspended(user: Pick<User, 'status'>): void {
  if (user.status === 'suspended') throw new AppError('forbidden', 'This user is suspended. Ask the operator.')
}

/** A user whose time is over may look, take the data along and delete, but not send or make numbers. */
export function refuseExpired(user: Pick<User, 'status' | 'active_until'>): void {
  if (user.status !== 'expired') return
  throw new AppError('plan_expired', 'Your plan has expired. Ask the operator to renew it; queued messages wait.', {
    details: { active_until: user.active_until },
  })
}
