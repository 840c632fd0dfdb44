import { Breaker } from './breaker.js'
import { EvolutionClient } from './evolution.js'
import { Semaphore } from './semaphore.js'

interface Options {
  api_key: string
  send_timeout_seconds: number
  control_timeout_seconds?: number
  server_concurrency: number
}

interface Member {
  client: EvolutionClient
  sends: Semaphore
  breaker: Breaker
}

/** The Evolution servers this process can talk to, by name. Which one owns a number is the database's business. */
export class ServerPool {
  private readonly members = new Map<string, Member>()

  constructor(private readonly options: Options) {}

  /** Learns a server, or its new address. */
  set(name: string, url: string): void {
    const known = this.members.get(name)
    if (known?.client.url === url) return
    void known?.client.close()
    const breaker = new Breaker()
    const client = new EvolutionClient(name, url, this.options, breaker)
    this.members.set(name, { client, breaker, sends: known?.sends ?? new Semaphore(this.options.server_concurrency) })
  }

  /** Throws when the name is not known here: a programming error, since rows name only servers of the table. */
  client(name: string): EvolutionClient {
    return this.member(name).client
  }

  /** A client for an address that is not in the pool (yet); its user closes it. */
  stranger(url: string): EvolutionClient {
    return new EvolutionClient('stranger', url, this.options)
  }

  /** Runs a send when the server has room for one more. */
  withRoom<T>(name: string, work: (client: EvolutionClient) => Promise<T>): Promise<T> {
    // While it waited its turn the server may have got a new address, and with it another client.
    return this.member(name).sends.run(() => work(this.client(name)))
  }

  breaker(name: string): Breaker {
    return this.member(name).breaker
  }

  names(): string[] {
    return [...this.members.keys()]
  }

  async close(): Promise<void> {
    await Promise.all([...this.members.values()].map(({ client }) => client.close()))
  }

  private member(name: string): Member {
    const member = this.members.get(name)
    if (!member) throw new Error(`The server pool does not know "${name}".`)
    return member
  }
}
