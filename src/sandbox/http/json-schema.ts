import type { Json } from '../store/records.js'

/** The part of JSON schema that Evolution's validation uses, with the words of its library. */
export interface Schema {
  type?: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object'
  enum?: readonly (string | number)[]
  pattern?: string
  minItems?: number
  minimum?: number
  maximum?: number
  uniqueItems?: boolean
  items?: Schema
  properties?: Record<string, Schema>
  required?: readonly string[]
  /** Takes the place of the library's message. */
  description?: string
}

/** Every violation, in words; `path` begins with "instance", which is cut off below the top. */
export function violations(value: unknown, schema: Schema, path = 'instance'): string[] {
  const own = complaints(value, schema).map((complaint) => schema.description ?? `${path} ${complaint}`)
  return [...own, ...nested(value, schema, path), ...missing(value, schema, path)].map((text) =>
    text.replace(/^instance\./, ''),
  )
}

function nested(value: unknown, { items, properties = {} }: Schema, path: string): string[] {
  const inItems =
    items && Array.isArray(value) ? value.flatMap((item, index) => violations(item, items, `${path}[${index}]`)) : []
  if (!isObject(value)) return inItems
  const inMembers = Object.entries(properties).flatMap(([name, member]) =>
    value[name] === undefined ? [] : violations(value[name], member, `${path}.${name}`),
  )
  return [...inItems, ...inMembers]
}

function missing(value: unknown, { required = [] }: Schema, path: string): string[] {
  if (!isObject(value)) return []
  return required
    .filter((name) => value[name] === undefined)
    .map((name) => `${path} requires property ${JSON.stringify(name)}`)
}

function complaints(value: unknown, schema: Schema): string[] {
  const found: string[] = []
  if (schema.type && !isOfType(value, schema.type)) found.push(`is not of a type(s) ${schema.type}`)
  if (schema.enum && !schema.enum.includes(value as string)) {
    found.push(`is not one of enum values: ${schema.enum.join(',')}`)
  }
  if (schema.pattern && typeof value === 'string' && !new RegExp(schema.pattern).test(value)) {
    found.push(`does not match pattern ${JSON.stringify(schema.pattern)}`)
  }
  if (typeof value === 'number') {
    if (schema.minimum !== undefined && value < schema.minimum) {
      found.push(`must be greater than or equal to ${schema.minimum}`)
    }
    if (schema.maximum !== undefined && value > schema.maximum) {
      found.push(`must be less than or equal to ${schema.maximum}`)
    }
  }
  if (Array.isArray(value)) {
    if (schema.minItems !== undefined && value.length < schema.minItems) {
      found.push(`does not meet minimum length of ${schema.minItems}`)
    }
    if (schema.uniqueItems && new Set(value).size < value.length) found.push('contains duplicate item')
  }
  return found
}

function isOfType(value: unknown, type: NonNullable<Schema['type']>): boolean {
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return isObject(value)
  if (type === 'integer') return Number.isInteger(value)
  return typeof value === type
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
