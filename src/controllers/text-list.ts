import { z } from 'zod'

/** What a list is narrowed to; an empty text, as an unset variable leaves it, narrows nothing. */
export const filterList = <Item extends z.ZodType>(item: Item) =>
  textList(item)
    .transform((list) => (list.length > 0 ? list : undefined))
    .optional()

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
