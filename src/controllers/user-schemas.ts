import { z } from 'zod'

export const Email = z.string().trim().toLowerCase().max(254).pipe(z.email('must be an e-mail address'))
export const Name = z.string().trim().min(1).max(200)
export const NewPassword = z.string().min(8, 'must have at least 8 characters').max(200)
export const Password = z.string().min(1).max(200)
