/** Dead letters: look, replay, discard. */
import type { FastifyInstance } from 'fastify'
import { letterView } from '../coordinator/letter-views.ts'
import { replayLetters } from '../coordinator/replay.ts'
import { Refused } from '../core/input.ts'
import type { DeadLetter } from '../core/letter-state.ts'
import { MusterError } from '../protocol/errors.ts'
import { DiscardBody, LettersQuery, ReplayBody, type LettersPage } from '../protocol/failures.ts'
import type { ApiOptions } from './options.ts'
import { repeaterOf, whoOf } from './request-parts.ts'

export async function failureRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.get<{ Querystring: LettersQuery }>(
    '/dead-letters',
    { schema: { querystring: LettersQuery } },
    async (request): Promise<LettersPage> => {
      await coordinator.settled()
      const { letters } = coordinator.state
      const { cursor, limit = 1000, ...filter } = request.query
      const after = cursor === undefined ? 0 : letterNumber(cursor)
      const page: LettersPage['letters'][number][] = []
      for (const letter of letters.byId.values()) {
        if (letterNumber(letter.id) <= after || !matches(letter, filter)) continue
        if (page.length === limit) return { ...sums(), letters: page, next: page.at(-1)!.letter }
        page.push(letterView(letter))
      }
      return { ...sums(), letters: page }
    },
  )

  app.get<{ Params: { letter: string } }>('/dead-letters/:letter', async (request) => {
    await coordinator.settled()
    const letter = coordinator.state.letters.byId.get(request.params.letter)
    if (!letter) throw new Refused('not_found', `no dead letter ${request.params.letter}`)
    return letterView(letter)
  })

  app.post<{ Body: ReplayBody }>('/dead-letters/replay', { schema: { body: ReplayBody } }, async (request) => {
    await coordinator.settled()
    const { again = false } = request.body
    const letters = chosen(request.body, (letter) => again || letter.replay === undefined)
    return {
      results: await replayLetters(coordinator, {
        letters,
        who: whoOf(request),
        again,
        userOf: (first) => repeaterOf(request, first),
      }),
    }
  })

  app.post<{ Body: DiscardBody }>('/dead-letters/discard', { schema: { body: DiscardBody } }, async (request) => {
    await coordinator.settled()
    const who = whoOf(request)
    const letters = chosen(request.body, () => true)
    await coordinator.submit({ type: 'discard', letters, who, why: request.body.why ?? 'asked' })
    return { discarded: letters }
  })

  function sums() {
    return { total: coordinator.state.letters.byId.size, dropped: coordinator.state.letters.dropped }
  }

  function chosen(body: ReplayBody | DiscardBody, wanted: (letter: DeadLetter) => boolean): readonly string[] {
    const { letters, run, all } = body
    if ([letters, run, all].filter((one) => one !== undefined).length !== 1) {
      throw new MusterError('request_invalid', 'expected one of letters, run and all')
    }
    if (letters) return letters
    const found: string[] = []
    for (const letter of coordinator.state.letters.byId.values()) {
      if ((run === undefined || letter.run === run) && wanted(letter)) found.push(letter.id)
    }
    if (found.length > 0) return found
    throw new Refused('not_found', run === undefined ? 'no dead letters' : `no dead letters of run ${run}`)
  }
}

function letterNumber(id: string): number {
  const match = /^d(\d+)$/.exec(id)
  if (!match) throw new MusterError('request_invalid', `cursor: expected a dead letter such as d7, received '${id}'`)
  return Number(match[1])
}

function matches(letter: DeadLetter, filter: Omit<LettersQuery, 'cursor' | 'limit'>): boolean {
  const { state, ...fields } = filter
  if (state !== undefined && (state === 'replayed') !== (letter.replay !== undefined)) return false
  for (const key of ['run', 'project', 'suite', 'cause'] as const) {
    if (fields[key] !== undefined && fields[key] !== letter[key]) return false
  }
  return true
}
