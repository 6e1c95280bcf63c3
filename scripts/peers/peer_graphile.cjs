// graphile-worker on PostgreSQL: a local queue and batched completions, as its page on performance.
'use strict'
const { makeWorkerUtils, run, Logger } = require('graphile-worker')
const { Pool } = require('pg')
const { handled, main } = require('./harness.cjs')

const quiet = new Logger(() => () => {})
let connectionString, pool, utils

main({
  packages: ['graphile-worker', 'pg'],
  settings: 'concurrentJobs as shown, localQueue 500, completeJobBatchDelay 0, addJobs; jobs not kept',
  async open (dsn) {
    connectionString = dsn
    pool = new Pool({ connectionString: dsn, max: 25 })
    utils = await makeWorkerUtils({ pgPool: pool, logger: quiet })
  },
  create: () => utils.migrate(),
  one: (n) => utils.addJob('noop', { n }),
  many: (numbers) => utils.addJobs(numbers.map((n) => ({ identifier: 'noop', payload: { n } }))),
  start: (concurrentJobs) =>
    run({
      logger: quiet,
      taskList: { noop: (payload) => handled(payload.n) },
      preset: {
        worker: {
          connectionString,
          concurrentJobs,
          maxPoolSize: concurrentJobs + 1,
          localQueue: { size: 500 },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0
        }
      }
    }),
  async left () {
    const { rows } = await pool.query('select count(*)::int as n from graphile_worker._private_jobs')
    return rows[0].n
  }
})
