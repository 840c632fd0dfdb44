import { MAGIC_GROUP, MAGIC_RECIPIENTS } from '../src/sandbox/magic-recipients.js'
import { ask, SandboxProbe, sendText, until } from './support/sandbox-probe.js'

const probe = new SandboxProbe()
beforeAll(() => probe.open())
afterEach(() => probe.closeSandboxes())
afterAll(() => probe.close())

const number = (name: string) => MAGIC_RECIPIENTS.find((recipient) => recipient.name === name)!.number

describe('magic recipients', () => {
  it.each([
    ['not on WhatsApp', 400, 0, 0],
    ['connection closed', 400, 0, 0],
    ['500 before sending', 500, 0, 0],
    ['400 although sent', 400, 1, 0],
    ['500 although sent', 500, 1, 1],
    ['reset although sent', undefined, 1, 1],
    ['lost without a trace', undefined, 1, 0],
    ['answers too late', 201, 1, 1],
    ['slow', 201, 1, 1],
    ['stays pending', 201, 1, 1],
  ])('%s: status %s, sent %i times, send.message %i times', async (name, status, sent, told) => {
    const sandbox = await probe.start()
    await probe.link(sandbox)
    const answer = await sendText(sandbox, number(name)).catch(() => undefined)
    expect(answer?.status).toBe(status)
    expect(sandbox.controls.ledger.count('a', number(name), 'hello')).toBe(sent)
    await probe.settled(sandbox)
    expect(probe.count('send.message')).toBe(told)
    const found = await ask(sandbox, 'POST', '/chat/findMessages/a', { where: { key: { fromMe: true } } })
    expect(found.body).toMatchObject({ messages: { total: told + 1 } })
  })

  it.each([
    ['refused by WhatsApp', ['ERROR']],
    ['delivered, never read', ['DELIVERY_ACK']],
    ['stays pending', []],
    ['early reports', ['DELIVERY_ACK', 'READ']],
    ['echo', ['DELIVERY_ACK', 'READ']],
  ])('%s: reported as %j', async (name, expected) => {
    const sandbox = await probe.start()
    await probe.link(sandbox)
    const sent = sendText(sandbox, number(name))
    if (name === 'early reports') await until(() => probe.statuses().length === 2)
    await sent
    const echoes = name === 'echo' ? 1 : 0
    await until(() => probe.count('messages.upsert') >= echoes)
    await probe.settled(sandbox)
    expect(probe.statuses().toSorted()).toEqual(expected.toSorted())
    expect(probe.count('messages.upsert')).toBe(echoes)
  })

  it('the privacy id: answers and echoes come from a lid', async () => {
    const sandbox = await probe.start()
    await probe.link(sandbox)
    const answer = await sendText(sandbox, number('privacy id'))
    expect(answer.body).toMatchObject({ key: { remoteJid: '1628000000016@lid' } })
    sandbox.controls.incoming('a', { chat: number('privacy id'), text: 'hi' })
    await until(() => probe.count('messages.upsert') === 1)
    expect(probe.events.find(({ event }) => event === 'messages.upsert')?.data.key).toMatchObject({
      remoteJid: '1628000000016@lid',
      remoteJidAlt: '628000000016@s.whatsapp.net',
    })
  })

  it('the upload fails once, then works; the group is known and reports nothing', async () => {
    const sandbox = await probe.start()
    await probe.link(sandbox)
    const image = { number: number('upload fails once'), mediatype: 'image', media: 'AAAA', fileName: 'a.png' }
    expect((await ask(sandbox, 'POST', '/message/sendMedia/a', image)).status).toBe(500)
    expect((await ask(sandbox, 'POST', '/message/sendMedia/a', image)).status).toBe(201)
    await until(() => probe.statuses().length === 2)
    expect((await sendText(sandbox, MAGIC_GROUP.jid)).status).toBe(201)
    expect((await sendText(sandbox, '120363000000000002@g.us')).status).toBe(400)
    await probe.settled(sandbox)
    expect(probe.statuses()).toHaveLength(2)
  })

  it('a slow send holds back the others of its instance', async () => {
    const sandbox = await probe.start({ slow_ms: 150 })
    await probe.link(sandbox)
    const order: string[] = []
    const slow = sendText(sandbox, number('slow')).then(() => order.push('slow'))
    await ask(sandbox, 'POST', '/verify-creds') // a way there and back later it is at work
    await Promise.all([slow, sendText(sandbox, '6281234567').then(() => order.push('quick'))])
    expect(order).toEqual(['slow', 'quick'])
  })
})
