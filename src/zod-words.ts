import { z } from 'zod'

type Issue = z.core.$ZodRawIssue

const NOUNS: Record<string, string> = {
  string: 'a text',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
}

/** What a schema does not say itself, in words for people; undefined leaves zod its own. */
function wordsOf(issue: Issue): string | undefined {
  if (issue.input === undefined && (issue.code === 'invalid_type' || issue.code === 'invalid_union'))
    return 'is missing'
  switch (issue.code) {
    case 'invalid_type':
      return NOUNS[issue.expected] && `must be ${NOUNS[issue.expected]}`
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`
    case 'invalid_union':
      return 'is of the wrong form'
    case 'too_small':
      return bound(issue, Number(issue.minimum), 'at least')
    case 'too_big':
      return bound(issue, Number(issue.maximum), 'at most')
    case 'unrecognized_keys':
      return `there is no field ${issue.keys.map((key) => `"${key.slice(0, 60)}"`).join(', ')} here`
    default:
      return undefined
  }
}

function bound({ origin }: { origin: string }, limit: number, which: 'at least' | 'at most'): string {
  const [single, plural] = { string: ['character', 'characters'], array: ['entry', 'entries'] }[origin] ?? []
  if (single === undefined) return `must be ${which} ${limit}`
  if (which === 'at least' && limit === 1) return 'must not be empty'
  return `must have ${which} ${limit} ${limit === 1 ? single : plural}`
}

z.config({ customError: wordsOf })
