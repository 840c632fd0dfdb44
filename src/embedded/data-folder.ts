import { createHash } from 'node:crypto'
import { accessSync, chmodSync, constants, existsSync, mkdirSync, realpathSync, statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** Who PostgreSQL runs as; undefined means as ourselves. */
export interface Owner {
  uid: number
  gid: number
}

const NOBODY: Owner = { uid: 65_534, gid: 65_534 }
const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url))

const isRoot = () => process.getuid?.() === 0

/** PostgreSQL refuses to run as root, so root lends it an unprivileged user: the one its files belong to already. */
export function serverOwner(cluster: string): Owner | undefined {
  if (!isRoot()) return undefined
  if (!existsSync(cluster)) return NOBODY
  const { uid, gid } = statSync(cluster)
  return uid === 0 ? NOBODY : { uid, gid }
}

/** DATA_DIR, or `data` in the checkout; for root a folder in /var/lib when that one cannot be entered by others. */
export function chooseDataFolder(wanted: string | undefined): { data_dir: string; note?: string } {
  const data_dir = path.resolve(wanted?.trim() || path.join(CHECKOUT, 'data'))
  if (canReach(data_dir, serverOwner(path.join(data_dir, 'postgres')))) return { data_dir }
  const hash = createHash('sha256').update(data_dir).digest('hex').slice(0, 12)
  const elsewhere = path.join('/var/lib/whatsapp-saas', hash)
  return { data_dir: elsewhere, note: `Data is kept in ${elsewhere}, since PostgreSQL cannot enter ${data_dir}.` }
}

/** Makes the folder so that PostgreSQL's user may pass through it, but nobody may list it. */
export function makeDataFolder(data_dir: string) {
  if (existsSync(data_dir)) return checkWritable(data_dir)
  try {
    mkdirSync(path.dirname(data_dir), { recursive: true, mode: 0o755 })
    mkdirSync(data_dir, { recursive: true })
    chmodSync(data_dir, 0o711)
  } catch (error) {
    throw new Error(`The data folder ${data_dir} cannot be made; set DATA_DIR to a folder that you may write to.`, {
      cause: error,
    })
  }
}

function checkWritable(data_dir: string) {
  try {
    accessSync(data_dir, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new Error(
      `The data folder ${data_dir} belongs to another user; start as that user, or set DATA_DIR to a folder of your own.`,
      { cause: error },
    )
  }
}

/** Whether every folder on the way lets that user pass; what does not exist yet is ours to make. */
export function canReach(target: string, owner: Owner | undefined): boolean {
  if (!owner) return true
  let folder = target
  while (!existsSync(folder)) folder = path.dirname(folder)
  folder = realpathSync(folder)
  for (;;) {
    if (!mayEnter(folder, owner)) return false
    if (folder === path.dirname(folder)) return true
    folder = path.dirname(folder)
  }
}

function mayEnter(target: string, owner: Owner): boolean {
  const { mode, uid, gid } = statSync(target)
  if (uid === owner.uid) return (mode & 0o100) !== 0
  if (gid === owner.gid) return (mode & 0o010) !== 0
  return (mode & 0o001) !== 0
}
