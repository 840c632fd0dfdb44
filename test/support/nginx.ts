import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const CONFIGURATION = fileURLToPath(new URL('../../nginx/', import.meta.url))

/** Where the program is; undefined when this machine has none. */
export const NGINX = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx', '/opt/homebrew/bin/nginx'].find(
  (file) => existsSync(file),
)

export interface NginxOptions {
  http: number
  https: number
  /** Where saas-api answers: one port, or one for each replica. */
  upstream: number | number[]
  /** Uncomments the HTTPS server and makes port 80 redirect, as the file itself says. */
  tls?: boolean
  /** Further changes to nginx.conf and its parts. */
  change?: (text: string) => string
}

/**
 * A real nginx with the product's own configuration. Replaced are only: the ports 80 and 443, the folder /etc/nginx, the
 * log and pid files, Docker's name server together with the name saas-api, and where it buffers bodies.
 */
export class Nginx {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'whatsapp-saas-test-nginx-'))
  private child: ChildProcess | undefined

  constructor(private readonly options: NginxOptions) {
    const files = readdirSync(CONFIGURATION).filter((name) => name.endsWith('.conf'))
    for (const name of files) this.write(name, this.adapt(readFileSync(path.join(CONFIGURATION, name), 'utf8'), name))
    mkdirSync(path.join(this.folder, 'ssl/acme/.well-known/acme-challenge'), { recursive: true })
    mkdirSync(path.join(this.folder, 'run'))
    chmodSync(this.folder, 0o755) // its workers are somebody else when root starts it
    if (options.tls) this.certify()
  }

  write(name: string, text: string) {
    writeFileSync(path.join(this.folder, name), text)
  }

  text(name: string): string {
    return readFileSync(path.join(this.folder, name), 'utf8')
  }

  /** What `nginx -t` says; throws with its complaints. */
  check(): void {
    execFileSync(NGINX!, ['-t', '-q', ...this.args()], { stdio: 'pipe' })
  }

  async start(): Promise<void> {
    this.child = spawn(NGINX!, [...this.args(), '-g', 'daemon off;'], { stdio: ['ignore', 'ignore', 'pipe'] })
    let complaint = ''
    this.child.stderr!.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
    for (let tries = 0; !(await listens(this.options.http)); tries++) {
      if (tries > 100 || this.child.exitCode !== null) throw new Error(`nginx did not start: ${complaint}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  log(name: 'access' | 'error'): string {
    return readFileSync(path.join(this.folder, `${name}.log`), 'utf8')
  }

  async stop(): Promise<void> {
    const { child } = this
    if (child && child.exitCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
    }
    rmSync(this.folder, { recursive: true, force: true })
  }

  private args() {
    return ['-p', this.folder, '-c', path.join(this.folder, 'nginx.conf'), '-e', path.join(this.folder, 'error.log')]
  }

  private adapt(text: string, name: string): string {
    const { http, https, upstream, tls, change = (same: string) => same } = this.options
    let adapted = tls && name === 'nginx.conf' ? switchOnHttps(text) : text
    adapted = adapted
      .replace('listen 80 ', `listen 127.0.0.1:${http} `)
      .replace('listen 443 ', `listen 127.0.0.1:${https} `)
      .replaceAll(
        'http://saas-api:3000',
        typeof upstream === 'number' ? `http://127.0.0.1:${upstream}` : 'http://replicas',
      )
      .replace(/^ *resolver .*$/gm, '')
      .replaceAll('/etc/nginx', this.folder)
      .replaceAll('/var/log/nginx', this.folder)
      .replaceAll('/run/', `${this.folder}/run/`)
    if (name === 'nginx.conf') adapted = adapted.replace('http {', `http {\n${this.bodies()}\n${this.replicas()}`)
    return change(adapted)
  }

  /** As the name server answers with the addresses of all replicas. */
  private replicas(): string {
    const { upstream } = this.options
    if (typeof upstream === 'number') return ''
    return `upstream replicas { ${upstream.map((port) => `server 127.0.0.1:${port} max_fails=0;`).join(' ')} }`
  }

  /** Without root it may not write where the package says. */
  private bodies(): string {
    const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    return kinds.map((kind) => `${kind}_temp_path ${this.folder}/${kind};`).join('\n')
  }

  private certify() {
    const [key, certificate] = ['privkey.pem', 'fullchain.pem'].map((name) => path.join(this.folder, 'ssl', name))
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject]
    execFileSync('openssl', [...args, '-keyout', key!, '-out', certificate!], { stdio: 'pipe' })
  }

  get certificate(): string {
    return readFileSync(path.join(this.folder, 'ssl/fullchain.pem'), 'utf8')
  }

  /** The folder certbot writes its proofs to. */
  get challenges(): string {
    return 'ssl/acme/.well-known/acme-challenge'
  }
}

/** As nginx.conf says in words: the commented server comes to life, and port 80 includes redirect.conf. */
export function switchOnHttps(text: string): string {
  const at = text.indexOf('    # server {')
  if (at < 0) throw new Error('nginx.conf has no commented HTTPS server')
  const server = text.slice(at).replace(/^ {4}# ?/gm, '    ')
  return text.slice(0, at).replace('/etc/nginx/locations.conf', '/etc/nginx/redirect.conf') + server
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
