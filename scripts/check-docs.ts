/**
 * What the docs say must exist. In every Markdown file of the repository a relative link leads to a
 * file (and a `#heading` to a heading of it), every `muster <command> --flag` in code is known to the
 * program's own `--help`, and every `npm run NAME` is a script of package.json.
 * docs/reference names exactly the commands, flags and routes there are. The program is asked, not its source, so that what a user would
 * type is what counts. Links to the web are not followed.
 */
import { execFile } from 'node:child_process'
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'

const root = path.join(import.meta.dirname, '..')
const problems: string[] = []

const pages = globSync('**/*.md', { cwd: root, exclude: (name) => /^(node_modules|fixtures|dist|\..+)$/.test(name) })
  .sort()
  .map((file) => ({ file, text: readFileSync(path.join(root, file), 'utf8') }))

/** The anchor that code hosts give a heading. */
const slug = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-')

function withoutFences(text: string): string {
  return text.replaceAll(/^```[^]*?^```/gm, (block) => block.replaceAll(/[^\n]/g, ''))
}

function lineOf(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}

function checkLinks(file: string, text: string): void {
  const prose = withoutFences(text)
  for (const match of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
    const link = match[1] ?? ''
    if (/^[a-z]+:/.test(link)) continue
    const [target = '', anchor] = link.split('#')
    const where = `${file}:${lineOf(prose, match.index)}`
    const absolute = target === '' ? path.join(root, file) : path.resolve(root, path.dirname(file), target)
    if (!existsSync(absolute)) {
      problems.push(`${where} links to ${link}, which does not exist`)
    } else if (anchor !== undefined && statSync(absolute).isFile()) {
      const headings = [...withoutFences(readFileSync(absolute, 'utf8')).matchAll(/^#+ (.+)$/gm)]
      if (!headings.some((heading) => slug(heading[1] ?? '') === anchor)) {
        problems.push(`${where} links to ${link}, but there is no such heading`)
      }
    }
  }
}

/** `muster` invocations in code spans and fenced blocks: the command, and the flags before a lone `--`. */
type Mention = { readonly where: string; readonly command: string; readonly flags: readonly string[] }

function mentionsIn(file: string, text: string): Mention[] {
  const mentions: Mention[] = []
  for (const match of text.matchAll(/^```(?:sh|bash|console|yaml)?\n([^]*?)^```|`([^`\n]+)`/gm)) {
    const code = (match[1] ?? match[2] ?? '').replaceAll('\\\n', ' ')
    for (const line of code.split('\n')) {
      for (const use of line.matchAll(/(?:^|[\s/$(])muster +([a-z][a-z|-]*)((?: +[^\s&;|#]+)*)/g)) {
        const words = (use[2] ?? '').split(/ +/).filter((word) => word !== '')
        const end = words.indexOf('--')
        const own = end === -1 ? words : words.slice(0, end)
        const flags = own
          .map((word) => /^\[?(--?[a-z][a-z-]*)/.exec(word)?.[1])
          .filter((flag): flag is string => flag !== undefined)
        for (const command of (use[1] ?? '').split('|')) {
          mentions.push({ where: `${file}:${lineOf(text, match.index)}`, command, flags })
        }
      }
    }
  }
  return mentions
}

const run = promisify(execFile)
const helps = new Map<string, Promise<string>>()

function help(...command: string[]): Promise<string> {
  const key = command.join(' ')
  const known = helps.get(key)
  if (known !== undefined) return known
  const asked = run(path.join(root, 'bin', 'muster'), [...command, '--help'], { timeout: 30_000 }).then(
    ({ stdout }) => stdout,
    (error: Error) => {
      problems.push(`'muster ${command.join(' ')} --help' fails: ${error.message.split('\n').slice(0, 3).join(' ')}`)
      return ''
    },
  )
  helps.set(key, asked)
  return asked
}

/** Of a command and, where it has some, of its own commands. */
async function wholeHelp(command: string): Promise<string> {
  const own = await help(command)
  const [, list = ''] = own.split(/^Commands:$/m)
  const names = [...list.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map((match) => match[1]!).filter((name) => name !== 'help')
  return [own, ...(await Promise.all(names.map((name) => help(command, name))))].join('\n')
}

/** docs/reference/cli.md names every command and every flag that `--help` shows. */
async function checkReference(commands: ReadonlySet<string>): Promise<void> {
  const file = 'docs/reference/cli.md'
  const page = readFileSync(path.join(root, file), 'utf8')
  for (const command of commands) {
    if (command === 'help') continue
    if (!new RegExp(`\\bmuster ${command}\\b`).test(page)) problems.push(`${file} does not name 'muster ${command}'`)
    for (const match of (await wholeHelp(command)).matchAll(/^ {2}(?:-[a-zA-Z], )?(--[a-z][a-z-]*)/gm)) {
      const flag = match[1] ?? ''
      if (flag !== '--help' && flag !== '--version' && !new RegExp(`${flag}(?![a-z-])`).test(page)) {
        problems.push(`${file} does not name ${flag} of 'muster ${command}'`)
      }
    }
  }
}

async function checkMentions(mentions: readonly Mention[]): Promise<void> {
  const overview = await help()
  if (overview === '') return
  const commands = new Set([...overview.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map((match) => match[1] ?? ''))
  await checkReference(commands)
  for (const { where, command, flags } of mentions) {
    if (!commands.has(command)) {
      problems.push(`${where} names 'muster ${command}', which the program does not have`)
      continue
    }
    const text = await wholeHelp(command)
    for (const flag of flags) {
      if (flag === '--help' || flag === '-h') continue
      if (!new RegExp(`(^|[\\s,])${flag}(?![a-z-])`, 'm').test(text)) {
        problems.push(`${where} names 'muster ${command} ${flag}', which its --help does not`)
      }
    }
  }
}

function checkScripts(file: string, text: string): void {
  const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  for (const match of text.matchAll(/npm run ([a-z][a-z:-]*)/g)) {
    if (scripts[match[1] ?? ''] === undefined) {
      problems.push(`${file}:${lineOf(text, match.index)} names '${match[0]}', which package.json does not have`)
    }
  }
}

/** docs/reference/api.md names exactly the routes that src/api registers. */
function checkRoutes(): void {
  const file = 'docs/reference/api.md'
  const page = readFileSync(path.join(root, file), 'utf8')
  const named = new Set(
    [...page.matchAll(/`(GET|POST|PUT|DELETE|PATCH) (\/[^\s`?]*)/g)].map((match) => `${match[1]} ${match[2]}`),
  )
  const there = new Set<string>()
  for (const source of globSync('src/api/routes-*.ts', { cwd: root })) {
    const code = readFileSync(path.join(root, source), 'utf8')
    for (const match of code.matchAll(/\bapp\.(get|post|put|delete|patch)(?:<[^(]*>)?\(\s*(['`])(\/[^'`]*)\2/g)) {
      const route = `${match[1]?.toUpperCase()} ${match[3]}`
      if (route.includes('${action}')) {
        const actions =
          /runActions = \[([^\]]*)\]/.exec(readFileSync(path.join(root, 'src/protocol/api.ts'), 'utf8'))?.[1] ?? ''
        for (const action of actions.matchAll(/'([a-z]+)'/g)) there.add(route.replace('${action}', action[1] ?? ''))
      } else {
        there.add(route)
      }
    }
  }
  for (const route of named)
    if (!there.has(route)) problems.push(`${file} names ${route}, which src/api does not register`)
  for (const route of there) if (!named.has(route)) problems.push(`${file} does not name ${route}`)
}

checkRoutes()
for (const { file, text } of pages) {
  checkLinks(file, text)
  checkScripts(file, text)
}
// The changelog speaks of what was; everything else of what is.
await checkMentions(
  pages.filter(({ file }) => file !== 'CHANGELOG.md').flatMap(({ file, text }) => mentionsIn(file, text)),
)
for (const problem of problems) console.error(problem)
console.log(`${pages.length} pages, ${problems.length} problems`)
process.exitCode = problems.length === 0 ? 0 : 1
