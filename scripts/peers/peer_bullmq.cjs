// BullMQ on Redis.
'use strict'
const { Queue, Worker } = require('bullmq')
const { handled, main } = require('./harness.cjs')

let connection, queue

main({
  packages: ['bullmq', 'ioredis'],
  settings: 'concurrency as shown, addBulk, finished jobs kept (its default)',
  async open (dsn) {
    const { hostname, port } = new URL(dsn)
    connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null }
    queue = new Queue('noop', { connection })
    await queue.waitUntilReady()
  },
  one: (n) => queue.add('noop', { n }),
  many: (numbers) => queue.addBulk(numbers.map((n) => ({ name: 'noop', data: { n } }))),
  async start (concurrency) {
    const worker = new Worker('noop', async (job) => handled(job.data.n), { connection, concurrency })
    worker.on('error', (error) => console.error(String(error)))
    await worker.waitUntilReady()
  },
  async left () {
    const counts = await queue.getJobCounts('wait', 'active', 'prioritized', 'delayed')
    return Object.values(counts).reduce((sum, count) => sum + count)
  }
})
