// pg-boss on PostgreSQL: fetched and completed in batches, woken by NOTIFY.
'use strict'
const { PgBoss } = require('pg-boss')
const { handled, main } = require('./harness.cjs')

let boss

main({
  packages: ['pg-boss', 'pg'],
  settings: 'batchSize as shown, burstWhenBatchFull, useListenNotify, pool of 10 (its default); jobs kept',
  async open (dsn) {
    boss = new PgBoss({ connectionString: dsn, useListenNotify: true })
    boss.on('error', (error) => console.error(String(error)))
    await boss.start()
  },
  create: () => boss.createQueue('noop', { notify: true }),
  one: (n) => boss.send('noop', { n }),
  many: (numbers) => boss.insert('noop', numbers.map((n) => ({ data: { n } }))),
  start: (batchSize) =>
    boss.work('noop', { batchSize, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true }, async (jobs) => {
      for (const job of jobs) handled(job.data.n)
    }),
  async left () {
    const sql = "select count(*)::int as n from pgboss.job where name = 'noop' and state < 'completed'"
    return (await boss.getDb().executeSql(sql)).rows[0].n
  }
})
