import type { PhoneNumber } from '../db/phone-numbers.js'

/** `user_1_…_g3` is the third life of the instance `user_1_…`. */
const LATER_LIFE = /^(.+)_g(\d{1,9})$/

/** What the engine calls the instance of a number. */
export const engineNameOf = (phone: Pick<PhoneNumber, 'instance_name' | 'engine_generation'>) =>
  phone.engine_generation === 0 ? phone.instance_name : `${phone.instance_name}_g${phone.engine_generation}`

/** Whose name this can be. An adopted instance keeps the name it has (generation 0), whatever that looks like: it comes first. */
export function namesOf(engineName: string): { instance: string; generation: number }[] {
  const match = LATER_LIFE.exec(engineName)
  const adopted = { instance: engineName, generation: 0 }
  return match ? [adopted, { instance: match[1]!, generation: Number(match[2]) }] : [adopted]
}

/** The instances of ours that the engine may mean with this name. */
export const instancesNamed = (engineName: string): string[] => namesOf(engineName).map(({ instance }) => instance)

/** `shop_g2` is how the third life of a number `shop` would be called, so there cannot be both. */
export const baseOf = (name: string): string => LATER_LIFE.exec(name)?.[1] ?? name
