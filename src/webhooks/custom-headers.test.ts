import { headersProblem, mergeHeaders } from './custom-headers.js'

it.each([
  ['webhook-id', 'x'],
  ['WebHook-Signature', 'x'],
  ['Host', 'x'],
  ['content-length', '1'],
  ['Connection', 'close'],
  ['transfer-encoding', 'chunked'],
  ['proxy-authorization', 'x'],
  ['x a', 'x'],
  ['', 'x'],
  ['x:y', 'x'],
  ['x-a', 'line\r\nbreak'],
  ['x-a', 'tab\tand'],
  ['x-a', 'ü'],
  ['x-a', 'x'.repeat(1_025)],
])('refuses %j: %j', (name, value) => {
  expect(headersProblem({ [name]: value })).toEqual(expect.any(String))
})

it('takes what receivers ask for', () => {
  expect(headersProblem({ Authorization: 'Bearer abc', 'X-Api-Key': 'k', 'x-empty': '' })).toBeUndefined()
})

it('never repeats a value in what it says', () => {
  expect(headersProblem({ 'x-a': 'very-private\n' })).not.toContain('very-private')
})

it('changes what is named, in any case, and keeps the rest', () => {
  expect(mergeHeaders({ 'X-A': '1', 'X-B': '2' }, { 'x-a': '3', 'x-b': null, 'x-c': '4' })).toEqual({
    'x-a': '3',
    'x-c': '4',
  })
})
