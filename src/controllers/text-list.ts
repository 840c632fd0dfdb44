import { z } from 'zod'

/** A list, or one text with commas, which is all that a query and a urlencoded body know. */
export function textList<Item extends z.ZodType>(item: Item) {
  return z.preprocess(
    (value) =>
      typeof value === 'string'
        ? value
            .split(',')
            .map((part) => part.trim())
            .filter((part) => part !== '')
        : value,
    z.array(item),
  )
}
