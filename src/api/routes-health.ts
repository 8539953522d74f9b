/**
 * What probes and monitoring ask. Live: the process answers, so restarting it would not help. Ready:
 * it can serve, so work may be sent here. Health: what doesn't work as it should, in words that may
 * name paths and hosts. The first two tell nothing private and need no token: load balancers have none.
 */
import type { FastifyInstance } from 'fastify'
import type { HealthView } from '../protocol/api.ts'
import type { ApiOptions } from './options.ts'
import { makeProblem } from './problems.ts'

export async function healthRoutes(app: FastifyInstance, options: ApiOptions): Promise<void> {
  const { coordinator, metrics } = options

  app.get('/health/live', { config: { public: true } }, async () => ({ live: true }))

  app.get('/health/ready', { config: { public: true } }, async (_request, reply) => {
    const { ready, reasons } = coordinator.readiness()
    if (ready) return { ready }
    const problem = makeProblem('unavailable', `not ready: ${reasons.join('; ')}`)
    return reply
      .status(503)
      .header('Retry-After', '1')
      .type('application/problem+json')
      .send({ ...problem, reasons })
  })

  app.get('/health', { config: { allow: ['client', 'worker'] } }, async (): Promise<HealthView> => {
    const { ready, reasons } = coordinator.readiness()
    const { role, epoch } = coordinator.standing()
    return {
      ...coordinator.health(),
      ready,
      notReady: reasons,
      role,
      epoch,
      version: coordinator.version,
      build: options.build,
      pid: process.pid,
      startedAtMs: coordinator.startedAtMs,
      position: coordinator.position,
      activeRuns: coordinator.activeRuns,
      workers: coordinator.workersConnected,
    }
  })

  app.get('/metrics', { config: { public: options.metricsOpen === true } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  )
}
