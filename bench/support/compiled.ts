import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT } from './process.js'

/** A module of the product as it was built: the bench runs what production runs. */
export const compiled = <Module>(file: string) =>
  import(pathToFileURL(path.join(ROOT, 'dist', file)).href) as Promise<Module>
