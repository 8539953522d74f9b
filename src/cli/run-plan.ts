/**
 * What a run consists of before anything is submitted: the suite, its files, and what the flags leave
 * of them. The listing is the framework's own; Muster only takes parts of it.
 */
import { resolve } from 'node:path'
import { MusterError } from '../protocol/errors.ts'
import { detectSuites, type Detected, type Suite } from '../runners/detect.ts'
import { readComments } from '../runners/file-comments.ts'
import { cachedList } from '../runners/listing-cache.ts'
import { fileNeeds, type FileNeeds, type FoundNeeds } from './file-needs.ts'
import { sizesOf } from './file-sizes.ts'
import { requiresOf, type NeedFlags } from './need-flags.ts'
import { projectId } from './project-id.ts'
import { cacheDirectory } from './places.ts'
import type { Listing } from '../runners/runner.ts'

export type PlanFlags = Pick<NeedFlags, 'require' | 'lock' | 'gpus' | 'memory'> & {
  readonly cwd?: string
  readonly framework?: string
  readonly suite?: string
  readonly paths: readonly string[]
  readonly args: readonly string[]
  readonly shard?: string
  readonly lastFailed?: boolean
  /** Exactly these of the listed files (rerun). */
  readonly only?: readonly string[]
  /** What these need, as it was submitted before (rerun); by file. */
  readonly needed?: { readonly needs: FileNeeds['needs']; readonly kinds: ReadonlyMap<string, number> }
}

export type RunPlan = {
  readonly suite: Suite
  readonly detected: Detected
  readonly project: string
  readonly paths: readonly string[]
  readonly args: readonly string[]
  readonly files: readonly string[]
  /** Their sizes; null where a task isn't a file. */
  readonly fileBytes: readonly (number | null)[]
  /** What each needs of a worker, and which come after others. */
  readonly needs: FileNeeds
  /** The files are all that the framework would run. */
  readonly complete: boolean
  /** A process of the framework runs one test at a time. */
  readonly serial: boolean
  /** Only what failed last was asked for, and nothing did: these are all files. */
  readonly nothingFailed: boolean
  readonly notices: readonly string[]
}

export const nothingFailedWords = 'nothing failed in the last run: running everything'

/** Mistakes in patterns come in small numbers. */
const unusedShownMax = 10

/** Of a coordinator. */
type Get = (path: string, config: Detected['config']) => Promise<unknown>

/** Lists what would run. A coordinator is asked only for what failed last. */
export async function planRun(flags: PlanFlags, get: Get, signal: AbortSignal): Promise<RunPlan> {
  const cwd = resolve(flags.cwd ?? '.')
  const detected = await detectSuites({
    cwd,
    env: process.env,
    ...(flags.framework === undefined ? {} : { framework: flags.framework }),
    ...(flags.suite === undefined ? {} : { suite: flags.suite }),
  })
  const suite = detected.chosen
  // Those of a run that is repeated hold the suite's own already.
  const args = flags.only ? flags.args : [...suite.args, ...flags.args]
  refuseArgs(suite, args)
  const paths = flags.paths.length > 0 ? flags.paths : suite.paths
  const listing = await cachedList(
    suite.runner,
    {
      project: suite.project,
      detection: suite.detection,
      paths,
      args,
      ...(suite.command === undefined ? {} : { suite: suite.command }),
      signal,
    },
    cacheDirectory(),
  )
  const project = projectId(suite.project.cwd)
  const notices = [...detected.notices]
  let files = listing.files
  let nothingFailed = false
  if (flags.only) {
    const wanted = new Set(flags.only)
    files = files.filter((file) => wanted.has(file))
  }
  if (flags.lastFailed) {
    const query = new URLSearchParams({ project, suite: suite.name })
    const { files: failed } = (await get(`/history/last-failed?${query.toString()}`, detected.config)) as {
      files: string[]
    }
    const wanted = new Set(failed)
    const kept = files.filter((file) => wanted.has(file))
    nothingFailed = kept.length === 0
    if (nothingFailed) notices.push(nothingFailedWords)
    else files = kept
  }
  if (flags.shard !== undefined) files = shardOf(files, flags.shard)
  const fileBytes = await sizesOf(suite.project.cwd, files)
  const { unused, ...needs } = await needsOf(flags, { suite, project, files, listing })
  const complete = files.length === listing.files.length
  // Of a part of the files it is no news that a rule is about others.
  if (complete && flags.paths.length === 0) for (const words of unused.slice(0, unusedShownMax)) notices.push(words)
  const { serial = false } = listing
  return { suite, detected, project, paths, args, files, fileBytes, needs, serial, complete, nothingFailed, notices }
}

type Listed = Pick<RunPlan, 'suite' | 'project' | 'files'> & { readonly listing: Listing }

async function needsOf(flags: PlanFlags, { suite, project, files, listing }: Listed): Promise<FoundNeeds> {
  const found = fileNeeds({
    project,
    files,
    order: suite.order,
    tags: listing.tags ?? {},
    groups: listing.groups ?? {},
    comments: await readComments(suite.project.cwd, files),
    flags: requiresOf(flags),
    ...(listing.serial === undefined ? {} : { serial: listing.serial }),
  })
  const { needed } = flags
  if (needed === undefined) return found
  return { ...found, needs: needed.needs, kinds: files.map((file) => needed.kinds.get(file) ?? 0) }
}

function refuseArgs(suite: Suite, args: readonly string[]): void {
  for (const arg of args) {
    const name = arg.split('=')[0]!
    const instead = suite.runner.refusedArgs?.[name]
    if (instead !== undefined) {
      throw new MusterError(
        'usage',
        `${name} of ${suite.detection.framework} can't be combined with Muster: ${instead}`,
      )
    }
  }
}

/**
 * Every n-th file of the sorted listing, so that shards that know nothing of each other never
 * overlap and never leave one out. Balancing by time is what `--server` is for.
 */
export function shardOf(files: readonly string[], shard: string): readonly string[] {
  const match = /^(\d+)\/(\d+)$/.exec(shard)
  const part = Number(match?.[1])
  const parts = Number(match?.[2])
  if (!match || part < 1 || part > parts) {
    throw new MusterError('usage', `--shard: expected I/N with 1 ≤ I ≤ N, received '${shard}'`)
  }
  return files.filter((_, index) => index % parts === part - 1)
}
